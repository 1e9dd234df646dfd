"""The function behind `Custom::HyperPodNodeRemoval`."""
