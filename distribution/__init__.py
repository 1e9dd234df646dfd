"""What `make dist` makes: the function and its stack for those who write no Python."""
