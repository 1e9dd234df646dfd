"""An AWS on a desk: what the demo and the tests deploy to. No account, no network."""
