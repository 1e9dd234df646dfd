"""Functions in the sandbox run the way they run on AWS."""

import json

from tests.sandbox.scripted_stack import ScriptedStack

NO_REPLY = "CloudFormation did not receive a response from your Custom Resource."


def attempts(stack: ScriptedStack, log_group: str) -> list[str]:
    return [line for line in stack.sandbox.log_lines(log_group) if "attempt" in line]


def one_log(log_format: str, name: str) -> dict[str, object]:
    return {
        "LoggingConfig": {
            "LogGroup": name,
            "LogFormat": log_format,
            **({"ApplicationLogLevel": "INFO"} if log_format == "JSON" else {}),
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
