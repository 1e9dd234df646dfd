"""A hook that drains the nodes of a HyperPod cluster on EKS before they are removed."""
