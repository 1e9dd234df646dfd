"""One module for each claim: what is measured, and how it is told."""
