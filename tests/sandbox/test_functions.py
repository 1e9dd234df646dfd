"""Functions in the sandbox run as in AWS."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.scripted_stack import PERMISSIONS, ScriptedStack, reason_of

NO_REPLY = "CloudFormation did not receive a response from your Custom Resource."


def attempts(stack: ScriptedStack) -> list[str]:
    messages = [json.loads(line).get("message", "") for line in stack.log_lines()]
    return [message for message in messages if "attempt" in message]


def test_a_function_has_its_own_settings_and_access_to_services(stack: ScriptedStack) -> None:
    variables = {"GREETING": "hello", "ITSELF": "/var/task/index.py"}
    deployment = stack.deploy(
        Create={"call": True},
        function={"Environment": {"Variables": variables}, "MemorySize": 192},
        outputs=(
            "StackStatus",
            "Nodes",
            "Greeting",
            "Memory",
            "RemainingSeconds",
            "LogGroup",
            "LoggedSoFar",
            "Pid",
            "SeesItself",
            "SeesProject",
            "CodeFirst",
        ),
    )
    # Its timeout is 30 s; how long a process takes to start depends on the machine.
    assert 1 <= int(deployment.outputs.pop("RemainingSeconds")) <= 29
    logged = json.loads(deployment.outputs.pop("LoggedSoFar"))
    assert logged["message"] == "looking around", "the log is written while the function runs"
    process = Path("/proc", deployment.outputs.pop("Pid"), "status")
    assert deployment.outputs == {
        "StackStatus": "CREATE_IN_PROGRESS",
        "Nodes": "3",
        "Greeting": "hello",
        "Memory": "192",
        "LogGroup": stack.log_group,
        "SeesItself": "True",
        "SeesProject": "no",
        "CodeFirst": "True",
    }
    stack.sandbox.await_idle()
    frozen = process.read_text(encoding="utf-8")
    assert "State:\tT (stopped)" in frozen, "it is frozen between invocations"
    assert stack.sandbox.delete(stack.name).status == "DELETE_COMPLETE", "and then continues"


@pytest.mark.parametrize("missing", ["cloudformation:DescribeStacks", "sagemaker:ListClusterNodes"])
def test_a_permission_that_is_missing_fails_the_call(stack: ScriptedStack, missing: str) -> None:
    """For ministack's services, and for the model of SageMaker."""
    failed = stack.deploy(
        Create={"call": True},
        permissions=tuple(action for action in PERMISSIONS if action != missing),
        service_timeout=3,
    )
    assert failed.status == "ROLLBACK_COMPLETE"
    assert f"is not authorized to perform: {missing}" in " ".join(stack.log_lines())


# Logs ---------------------------------------------------------------------------------------------


def test_a_json_log_is_in_the_stream_that_the_context_names(stack: ScriptedStack) -> None:
    deployment = stack.deploy(Create={"call": True}, outputs=("LogStream",))
    stack.sandbox.await_idle()
    events = stack.sandbox.client("logs").get_log_events(
        logGroupName=stack.log_group, logStreamName=deployment.outputs["LogStream"]
    )["events"]
    start, *lines, report = [json.loads(event["message"]) for event in events]
    assert start["type"] == "platform.start"
    assert report["type"] == "platform.report"
    own = [line for line in lines if line["logger"] == "scripted"]
    assert [(line["level"], line["message"]) for line in own] == [
        ("INFO", "attempt 1"),
        ("WARNING", "looking around"),
    ]
    assert {line["requestId"] for line in lines} == {start["record"]["requestId"]}


def test_a_json_log_leaves_out_what_is_below_its_level(stack: ScriptedStack) -> None:
    stack.deploy(Create={"crash": 1}, log=("JSON", "ERROR"))
    lines = [json.loads(line) for line in stack.log_lines()]
    assert {line["level"] for line in lines if "level" in line} == {"ERROR"}
    assert [line["errorMessage"] for line in lines if "errorMessage" in line] == [
        "a requested crash"
    ]


def test_a_text_log_has_warnings_only(stack: ScriptedStack) -> None:
    deployment = stack.deploy(Create={"call": True}, log=("Text", ""), outputs=("LoggedSoFar",))
    assert deployment.outputs["LoggedSoFar"].endswith("\tlooking around")
    lines = stack.log_lines()
    assert lines[0].startswith("START RequestId: ")
    assert [line for line in lines if "looking around" in line]
    assert not [line for line in lines if "attempt" in line]
    assert lines[-1].startswith("REPORT RequestId: ")


# Failures -----------------------------------------------------------------------------------------


def test_a_crash_is_retried_twice_with_the_same_event(stack: ScriptedStack) -> None:
    assert stack.deploy(Create={"crash": 2}).succeeded
    assert stack.request_types() == ["Create"]
    assert attempts(stack) == ["attempt 1", "attempt 2", "attempt 3"]


def test_three_crashes_are_a_resource_that_never_responds(stack: ScriptedStack) -> None:
    deployment = stack.deploy(Create={"crash": 3}, service_timeout=2)
    assert deployment.status == "ROLLBACK_COMPLETE"
    assert reason_of(deployment, "CREATE_FAILED").startswith(NO_REPLY)
    assert len(attempts(stack)) == 4, "three of Create, one of Delete"


def test_retry_attempts_can_be_none(stack: ScriptedStack) -> None:
    properties: dict[str, Any] = {
        "FunctionName": {"Ref": "Function"},
        "Qualifier": "$LATEST",
        "MaximumRetryAttempts": 0,
    }
    once = {"Once": {"Type": "AWS::Lambda::EventInvokeConfig", "Properties": properties}}
    deployment = stack.deploy(Create={"crash": 1}, resources=once, service_timeout=1)
    assert deployment.status == "ROLLBACK_COMPLETE"
    assert len(attempts(stack)) == 2, "one of Create, one of Delete"


def test_a_function_that_exits_is_retried_and_its_log_says_so(stack: ScriptedStack) -> None:
    assert stack.deploy(Create={"exit": 1}, log=("Text", "")).succeeded
    lines = stack.log_lines()
    assert [line for line in lines if line.endswith("Runtime exited before returning a response")]
    reports = [line for line in lines if line.startswith("REPORT ")]
    assert len(reports) == 2
    assert reports[0].endswith("\tStatus: error\tError Type: Runtime.ExitError")


def test_a_function_that_cannot_be_loaded_reports_why_to_its_caller_and_its_log(
    stack: ScriptedStack,
) -> None:
    stack.deploy(Create={}, function={"FunctionName": stack.name})
    client = stack.sandbox.client("lambda")
    client.update_function_configuration(FunctionName=stack.name, Handler="missing.handler")
    response = client.invoke(FunctionName=stack.name, Payload=b"{}")
    assert response["FunctionError"] == "Unhandled"
    error = json.loads(response["Payload"].read())
    assert error["errorType"] == "Runtime.ImportModuleError"
    assert error["errorMessage"] == ("Unable to import module 'missing': No module named 'missing'")
    lines = [json.loads(line) for line in stack.log_lines()]
    (logged,) = (line for line in lines if line.get("errorType") == error["errorType"])
    assert (logged["level"], logged["errorMessage"]) == ("ERROR", error["errorMessage"])
    assert lines[-1]["record"]["status"] == "error"


def test_a_function_is_stopped_at_its_timeout(stack: ScriptedStack) -> None:
    deployment = stack.deploy(
        Create={"sleep": 60}, function={"Timeout": 1}, log=("Text", ""), service_timeout=2
    )
    assert reason_of(deployment, "CREATE_FAILED").startswith(NO_REPLY)
    assert any("timed out after 1" in line for line in stack.log_lines())


# Chains of invocations ----------------------------------------------------------------------------


def test_a_function_may_invoke_itself_before_it_replies(stack: ScriptedStack) -> None:
    deployment = stack.deploy(Create={"again": 3, "call": True}, outputs=("Links",))
    assert deployment.outputs == {"Links": "3"}
    assert len(stack.requests()) == 1


def test_a_chain_of_invocations_is_stopped_after_the_sixteenth(stack: ScriptedStack) -> None:
    """See "Use Lambda recursive loop detection" in the Lambda Developer Guide."""
    deployment = stack.deploy(
        Create={"again": 99, "call": True}, outputs=("Links",), service_timeout=120
    )
    assert deployment.outputs == {"Links": "15"}
