"""A hook that drains the Kubernetes nodes of a HyperPod cluster on EKS before they are removed."""
