"""What the codes of failed nodes mean and what to do: the function's own words."""

from hyperpod_node_removal_handler.failure_codes import next_step, what_happened

__all__ = ["next_step", "what_happened"]
