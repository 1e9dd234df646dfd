"""A hook that drains the Slurm nodes of a HyperPod cluster before they are removed."""
