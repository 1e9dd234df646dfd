"""Properties as CloudFormation sends them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperpod_node_removal_contract import PartialFailure, Property
from hyperpod_node_removal_handler.request import (
    Envelope,
    RemovalRequest,
    RequestError,
    derived_physical_resource_id,
)
from tests.handler.world import STACK_ID

NODE = "i-0123456789abcdef0"
OTHER = "i-0fedcba9876543210"


def read(**properties: Any) -> RemovalRequest:
    return RemovalRequest.from_properties({"ClusterName": "ml-cluster", **properties})


def test_defaults() -> None:
    request = read(ServiceToken="arn:aws:lambda:us-east-1:123456789012:function:f")
    assert request == RemovalRequest(
        cluster="ml-cluster",
        node_ids=(),
        node_logical_ids=(),
        on_partial_failure=PartialFailure.FAIL,
        retry_for=600,
        service_timeout=3600,
    )
    assert request.is_empty


def test_scalars_arrive_as_strings() -> None:
    request = read(OnPartialFailure="REPORT", RetryFor="90", ServiceTimeout="900", RetryToken="7")
    assert (request.on_partial_failure, request.retry_for, request.service_timeout) == (
        PartialFailure.REPORT,
        90,
        900,
    )


@pytest.mark.parametrize(
    "value",
    [
        [NODE, OTHER],
        f"{NODE},{OTHER}",
        f" {NODE} , {OTHER} ,",
        [f" {NODE}", OTHER, "", NODE],
    ],
)
def test_a_list_may_be_one_string_and_blanks_and_repeats_do_not_count(value: Any) -> None:
    assert read(NodeIds=value).node_ids == (NODE, OTHER)


@pytest.mark.parametrize("value", [[], [""], "", " , "])
def test_an_empty_parameter_is_an_empty_set(value: Any) -> None:
    assert read(NodeIds=value, NodeLogicalIds=value).is_empty


@pytest.mark.parametrize(
    ("properties", "sentence"),
    [
        (
            {"NodeIDs": [NODE]},
            "Unknown property 'NodeIDs'; allowed: BeforeRemoval, ClusterName, DryRun,",
        ),
        ({"ClusterName": ""}, "ClusterName is required"),
        ({"ClusterName": "ml_cluster"}, "'ml_cluster' is not a cluster name; allowed: 1 to 63"),
        ({"ClusterName": ["a"]}, "ClusterName: '['a']' is not text"),
        ({"NodeIds": ["i-XYZ"]}, "NodeIds: 'i-XYZ' is not an instance id; allowed: i- and 8 or"),
        ({"NodeIds": [f"hyperpod-{NODE}"]}, f"use its instance id, {NODE}"),
        ({"NodeIds": [[NODE]]}, "is not text"),
        ({"NodeIds": {"a": 1}}, "is not a list"),
        ({"NodeIds": [None]}, "NodeIds: 'None' is not text"),
        ({"NodeLogicalIds": ["-a"]}, "NodeLogicalIds: '-a' is not a logical id; allowed: 2 to"),
        ({"OnPartialFailure": "fail"}, "'fail' is unknown; allowed: FAIL or REPORT"),
        ({"RetryFor": "ten"}, "RetryFor: 'ten' is not a whole number; allowed: 0 to 3600"),
        ({"RetryFor": "3601"}, "RetryFor: '3601' is out of range; allowed: 0 to 3600 seconds"),
        ({"ServiceTimeout": "0"}, "ServiceTimeout: '0' is out of range; allowed: 60 to 3600"),
        ({"RetryToken": "x" * 1025}, "RetryToken: has 1025 characters; allowed: 1024"),
        (
            {"NodeIds": [f"i-{number:08x}" for number in range(3001)]},
            "name 3001 nodes; allowed: 3000 in one resource",
        ),
        ({"MinRemaining": "workers=4"}, "is not a map of names to numbers"),
        ({"MinRemaining": {"wor_kers": "4"}}, "'wor_kers' is not the name of an instance group"),
        ({"MinRemaining": {"workers": "some"}}, "'some' is not a whole number; allowed: 0 to 6758"),
        ({"MaxRemovals": "6759"}, "'6759' is out of range; allowed: 0 to 6758 nodes"),
        ({"MissingNodes": "IGNORE"}, "'IGNORE' is unknown; allowed: ACCEPT or FAIL"),
        ({"DryRun": "perhaps"}, "'perhaps' is unknown; allowed: true or false"),
        ({"ProtectedGroups": ["work*"]}, "'work*' is not the name of an instance group"),
    ],
)
def test_a_bad_value_is_shown_with_what_is_allowed(
    properties: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(RequestError) as raised:
        read(**properties)
    assert sentence in str(raised.value)


hostile = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=10,
)


@given(
    st.one_of(
        hostile,
        st.dictionaries(
            st.one_of(st.sampled_from([str(name) for name in Property]), st.text()), hostile
        ),
    )
)
def test_whatever_comes_in_is_a_request_or_one_printable_sentence(properties: Any) -> None:
    try:
        RemovalRequest.from_properties(properties)
    except RequestError as error:
        text = str(error)
        assert all(" " <= character <= "~" for character in text)
        assert len(text) < 400


def test_the_physical_resource_id_is_readable_and_derived() -> None:
    assert derived_physical_resource_id(STACK_ID, "Removal4F2A91C0") == (
        "hyperpod-node-removal/ml-stack/Removal4F2A91C0/6d1f0c2e"
    )


def test_an_id_that_the_resource_has_already_is_kept() -> None:
    envelope = Envelope.from_event(
        {
            "RequestType": "Update",
            "StackId": STACK_ID,
            "RequestId": "r",
            "LogicalResourceId": "Removal",
            "ResponseURL": "https://example.com/?signature=secret",
            "PhysicalResourceId": "made-by-an-older-version",
        }
    )
    assert envelope.physical_resource_id == "made-by-an-older-version"
    assert "secret" not in repr(envelope)
