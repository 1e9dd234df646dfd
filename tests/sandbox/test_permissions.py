"""A function may do what its role's policies say, and nothing else."""

import pytest

from tests.sandbox.scripted_stack import PERMISSIONS, ScriptedStack


def test_what_the_policies_allow_is_allowed(stack: ScriptedStack) -> None:
    assert stack.deploy(Create={"call": True}, outputs=("Nodes",)).outputs == {"Nodes": "3"}


@pytest.mark.parametrize("missing", ["cloudformation:DescribeStacks", "sagemaker:ListClusterNodes"])
def test_a_permission_that_is_missing_fails_the_call(stack: ScriptedStack, missing: str) -> None:
    """Of ministack's services, and of the model of SageMaker beside them."""
    left = tuple(action for action in PERMISSIONS if action != missing)
    group = f"/own/{stack.name}"
    failed = stack.deploy(
        Create={"call": True},
        permissions=left,
        service_timeout=3,
        function={"LoggingConfig": {"LogGroup": group}},
    )
    assert failed.status == "ROLLBACK_COMPLETE"
    log = " ".join(stack.sandbox.log_lines(group))
    assert f"is not authorized to perform: {missing}" in log
