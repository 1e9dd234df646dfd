"""Functions in the sandbox run the way they run on AWS."""

import json
from pathlib import Path

from tests.sandbox.scripted_stack import ScriptedStack

NO_REPLY = "CloudFormation did not receive a response from your Custom Resource."


def attempts(stack: ScriptedStack, log_group: str) -> list[str]:
    return [line for line in stack.sandbox.log_lines(log_group) if "attempt" in line]


def one_log(log_format: str, name: str, level: str = "INFO") -> dict[str, object]:
    return {
        "LoggingConfig": {
            "LogGroup": name,
            "LogFormat": log_format,
            **({"ApplicationLogLevel": level} if log_format == "JSON" else {}),
        }
    }


def test_a_function_sees_its_own_settings_and_both_services(stack: ScriptedStack) -> None:
    deployment = stack.deploy(
        Create={"call": True},
        function={
            "Environment": {"Variables": {"GREETING": "hello", "ITSELF": "/var/task/index.py"}},
            "MemorySize": 192,
            **one_log("JSON", f"/own/{stack.name}"),
        },
        outputs=(
            "StackStatus",
            "Nodes",
            "Greeting",
            "Memory",
            "RemainingSeconds",
            "LogGroup",
            "SeesItself",
            "SeesProject",
            "CodeFirst",
        ),
    )
    # Its timeout is 30 s, of which the start of a process takes as long as it takes.
    assert 1 <= int(deployment.outputs.pop("RemainingSeconds")) <= 29
    assert deployment.outputs == {
        "StackStatus": "CREATE_IN_PROGRESS",
        "Nodes": "3",
        "Greeting": "hello",
        "Memory": "192",
        "LogGroup": f"/own/{stack.name}",
        "SeesItself": "True",
        "SeesProject": "no",
        "CodeFirst": "True",
    }


def test_a_json_log_is_in_the_stream_that_the_context_names(stack: ScriptedStack) -> None:
    group = f"/own/{stack.name}"
    deployment = stack.deploy(
        Create={"call": True}, function=one_log("JSON", group), outputs=("LogStream",)
    )
    stack.sandbox.await_idle()
    events = stack.sandbox.client("logs").get_log_events(
        logGroupName=group, logStreamName=deployment.outputs["LogStream"]
    )["events"]
    start, *lines, report = [json.loads(event["message"]) for event in events]
    assert start["type"] == "platform.start"
    assert report["type"] == "platform.report"
    mine = [line for line in lines if line["logger"] == "scripted"]
    assert [(line["level"], line["message"]) for line in mine] == [
        ("INFO", "attempt 1"),
        ("WARNING", "looking around"),
    ]
    assert {line["requestId"] for line in lines} == {start["record"]["requestId"]}


def test_a_text_log_holds_warnings_only(stack: ScriptedStack) -> None:
    group = f"/own/{stack.name}"
    stack.deploy(Create={"call": True}, function=one_log("Text", group))
    lines = stack.sandbox.log_lines(group)
    assert lines[0].startswith("START RequestId: ")
    assert [line for line in lines if "looking around" in line]
    assert not [line for line in lines if "attempt" in line]
    assert lines[-1].startswith("REPORT RequestId: ")


def test_a_crash_is_tried_twice_more_with_the_same_event(stack: ScriptedStack) -> None:
    group = f"/own/{stack.name}"
    deployment = stack.deploy(Create={"crash": 2}, function=one_log("JSON", group))
    assert deployment.succeeded
    assert stack.request_types() == ["Create"]
    assert [json.loads(x)["message"] for x in attempts(stack, group)] == [
        "attempt 1",
        "attempt 2",
        "attempt 3",
    ]


def test_a_function_that_exits_is_tried_again_and_its_log_says_so(stack: ScriptedStack) -> None:
    group = f"/own/{stack.name}"
    deployment = stack.deploy(Create={"exit": 1}, function=one_log("Text", group))
    assert deployment.succeeded
    lines = stack.sandbox.log_lines(group)
    assert [line for line in lines if line.endswith("Runtime exited before returning a response")]
    reports = [line for line in lines if line.startswith("REPORT ")]
    assert len(reports) == 2
    assert reports[0].endswith("\tStatus: error\tError Type: Runtime.ExitError")


def test_a_function_that_cannot_be_loaded_says_why_to_its_caller_and_its_log(
    stack: ScriptedStack,
) -> None:
    group = f"/own/{stack.name}"
    stack.deploy(Create={}, function={"FunctionName": stack.name, **one_log("JSON", group)})
    client = stack.sandbox.client("lambda")
    client.update_function_configuration(FunctionName=stack.name, Handler="missing.handler")
    answer = client.invoke(FunctionName=stack.name, Payload=b"{}")
    assert answer["FunctionError"] == "Unhandled"
    told = json.loads(answer["Payload"].read())
    assert told["errorType"] == "Runtime.ImportModuleError"
    assert told["errorMessage"] == ("Unable to import module 'missing': No module named 'missing'")
    lines = [json.loads(line) for line in stack.sandbox.log_lines(group)]
    (logged,) = (line for line in lines if line.get("errorType") == told["errorType"])
    assert (logged["level"], logged["errorMessage"]) == ("ERROR", told["errorMessage"])
    assert lines[-1]["record"]["status"] == "error"


def test_a_function_is_frozen_between_invocations(stack: ScriptedStack) -> None:
    deployment = stack.deploy(Create={"call": True}, outputs=("Pid",))
    stack.sandbox.await_idle()
    status = Path("/proc", deployment.outputs["Pid"], "status").read_text(encoding="utf-8")
    assert "State:\tT (stopped)" in status
    assert stack.sandbox.delete(stack.name).status == "DELETE_COMPLETE", "it goes on when it must"


def test_a_line_is_in_the_log_while_the_function_runs(stack: ScriptedStack) -> None:
    deployment = stack.deploy(Create={"call": True}, outputs=("LoggedSoFar",))
    assert deployment.outputs["LoggedSoFar"].endswith("\tlooking around")


def test_a_json_log_leaves_out_what_is_below_its_level(stack: ScriptedStack) -> None:
    group = f"/own/{stack.name}"
    stack.deploy(Create={"crash": 1}, function=one_log("JSON", group, "ERROR"))
    lines = [json.loads(line) for line in stack.sandbox.log_lines(group)]
    assert {line["level"] for line in lines if "level" in line} == {"ERROR"}
    assert [line["errorMessage"] for line in lines if "errorMessage" in line] == [
        "a crash that was asked for"
    ]


def test_three_crashes_are_a_resource_that_never_answers(stack: ScriptedStack) -> None:
    group = f"/own/{stack.name}"
    deployment = stack.deploy(
        Create={"crash": 3}, function=one_log("JSON", group), service_timeout=2
    )
    assert deployment.status == "ROLLBACK_COMPLETE"
    assert deployment.failures()[0].reason.startswith(NO_REPLY)
    assert len(attempts(stack, group)) == 4, "three of Create, one of Delete"


def test_retry_attempts_can_be_none(stack: ScriptedStack) -> None:
    group = f"/own/{stack.name}"
    once = {
        "Once": {
            "Type": "AWS::Lambda::EventInvokeConfig",
            "Properties": {
                "FunctionName": {"Ref": "Function"},
                "Qualifier": "$LATEST",
                "MaximumRetryAttempts": 0,
            },
        }
    }
    deployment = stack.deploy(
        Create={"crash": 1},
        function=one_log("JSON", group),
        resources=once,
        service_timeout=1,
    )
    assert deployment.status == "ROLLBACK_COMPLETE"
    assert len(attempts(stack, group)) == 2, "one of Create, one of Delete"


def test_a_function_is_stopped_at_its_timeout(stack: ScriptedStack) -> None:
    group = f"/own/{stack.name}"
    deployment = stack.deploy(
        Create={"sleep": 60},
        function={"Timeout": 1, **one_log("Text", group)},
        service_timeout=2,
    )
    assert deployment.failures()[0].reason.startswith(NO_REPLY)
    assert any("timed out after 1" in line for line in stack.sandbox.log_lines(group))


def test_a_function_may_invoke_itself_before_it_answers(stack: ScriptedStack) -> None:
    deployment = stack.deploy(Create={"again": 3, "call": True}, outputs=("Links",))
    assert deployment.outputs == {"Links": "3"}
    assert len(stack.requests()) == 1


def test_a_chain_of_invocations_is_stopped_after_the_sixteenth(stack: ScriptedStack) -> None:
    """See "Use Lambda recursive loop detection" in the Lambda Developer Guide."""
    deployment = stack.deploy(
        Create={"again": 99, "call": True}, outputs=("Links",), service_timeout=120
    )
    assert deployment.outputs == {"Links": "15"}
