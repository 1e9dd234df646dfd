"""`python -m sandbox.demo`: a removal that partly fails, and the one after it."""
