"""The product measured side by side with its alternatives: `make bench`."""
