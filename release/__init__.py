"""Make what a release consists of, and check that its parts agree."""
