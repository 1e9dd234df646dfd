"""What the provider's template says to its reader."""

from typing import Final

_HEAD: Final = """\
The function behind Custom::HyperPodNodeRemoval, for an account and a region. Any number of stacks
may use it: they import its ServiceToken.
"""
PROVIDER_HEAD: Final = f"""{_HEAD}
Put handler.zip, which comes with this template, into a bucket of this region first. No CDK, no
bootstrap."""
PACKAGEABLE_HEAD: Final = f"""{_HEAD}
For `aws cloudformation package`, with handler.zip in the same folder: it uploads the code and
writes where it is."""

RESOURCES: Final = {
    "LogGroup": "What happened to each node of every removal.",
    "Role": "It may write its logs. The policies below add what a removal needs.",
    "Function": "The ServiceToken. It waits until the nodes are gone, and answers CloudFormation.",
    "Invocation": (
        "An event is run once, within a minute or never: Lambda would otherwise remove nodes long\n"
        "after CloudFormation has given up."
    ),
    "SelfInvocation": "A removal longer than one invocation is handed over to the next.",
    "FinishedEvents": "Who is told when a removal has ended, if anybody.",
    "RemovalsElsewhere": (
        "Whose removals are done, and of which nodes. Stacks are looked at for whether they are\n"
        "rolling back: a rollback removes nothing."
    ),
    "EksCluster": "The service checks it when the nodes belong to a cluster that EKS orchestrates.",
    "BeforeRemoval": "To ask the function that may veto nodes.",
}
"""What is said above each resource, by logical id."""
