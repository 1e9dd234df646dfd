"""A hook that wants a proof for every node that its data is saved: an object in S3."""
