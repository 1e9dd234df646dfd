"""A simulated AWS for the demo, `make sandbox` and the tests. No account, no network."""
