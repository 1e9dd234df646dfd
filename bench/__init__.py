"""The product measured side by side with what else one would use: `make bench`."""
