"""Remove nodes from an Amazon SageMaker HyperPod cluster."""
