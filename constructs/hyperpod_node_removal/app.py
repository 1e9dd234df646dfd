"""Apps of removal files: the stack and the stage to build them from, and what `app.py` deploys.

::

    cdk deploy -c cluster=ml-cluster -c node_ids=i-0123456789abcdef0,i-0123456789abcdef1
    cdk deploy -c removals=removals.yaml

The keys are those of `docs/contract.md`, in the file and on the command line alike.
A team's own app creates a stack for each file, or a stage of CDK Pipelines::

    for settings in read_removal_folder(Path("removals"), "removals"):
        NodeRemovalStack(app, settings)
"""

import sys
from collections.abc import Mapping
from difflib import get_close_matches
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final

from aws_cdk import Annotations, App, CfnOutput, Duration, Environment, Stack, Stage
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._cluster import is_arn
from hyperpod_node_removal._errors import NodeRemovalError
from hyperpod_node_removal._removal import NodeRemoval
from hyperpod_node_removal._warnings import RemovalWarning
from hyperpod_node_removal_contract import Attribute
from hyperpod_node_removal_contract.properties import BY_KEY
from hyperpod_node_removal_file import (
    Settings,
    SettingsError,
    given_values,
    read_removal_file,
    settings_from,
)

__all__ = ["NodeRemovalStack", "NodeRemovalStage", "main", "settings_from_context"]

_REMOVALS: Final = "removals"
"""Context key of a file that has all other keys."""
_OF_THE_STACK: Final = {"cluster", "stack_name"}
"""Keys that are not arguments of the construct by the same name."""
_NEAR: Final = 0.7
"""Similarity from which an unknown context key counts as a misspelled key of this project."""
_OUTPUTS: Final = {
    Attribute.OUTCOME: "The outcome of the removal",
    Attribute.CLUSTER_NAME: "The cluster",
    Attribute.REQUESTED_COUNT: "Nodes in the set",
    Attribute.PLANNED_COUNT: "Nodes that a dry run would have removed",
    Attribute.REMOVED_COUNT: "Nodes this deployment removed",
    Attribute.ACCEPTED_COUNT: "Nodes that were still leaving at the end",
    Attribute.ALREADY_ABSENT_COUNT: "Nodes that were already gone",
    Attribute.FAILED_COUNT: "Nodes that could not be removed",
    Attribute.PLANNED_NODES: "Nodes that a dry run would have removed",
    Attribute.REMOVED_NODES: "Nodes this deployment removed",
    Attribute.ACCEPTED_NODES: "Nodes that were still leaving at the end",
    Attribute.ALREADY_ABSENT_NODES: "Nodes that were already gone",
    Attribute.FAILED_NODES: "Nodes that could not be removed",
    Attribute.REQUESTED_NODES: "The set that these Outputs are about",
    Attribute.INSTANCE_GROUP_TARGET_COUNTS: "Target counts to copy to the cluster's template",
    Attribute.WARNINGS: "What may add instances again where nodes were removed",
}
"""Descriptions of the Outputs, which have the names of the attributes."""
_REVIEWED_IN_A_FILE: Final = (RemovalWarning.DATA_LOSS, RemovalWarning.STALE_INSTANCE_IDS)
"""A file is reviewed node by node before it is deployed, so these are not repeated at each
deployment; ids typed on a command line get every warning. That a cluster's name in a file widens
the permissions is not visible in a review, so that warning stays; an ARN in the file ends it."""


class NodeRemovalStack(Stack):
    """A stack that removes one set of nodes. It is deployed to the environment of the CLI."""

    def __init__(self, scope: Construct, settings: Settings) -> None:
        super().__init__(
            scope,
            settings.stack_name,
            stack_name=settings.stack_name,  # also in a stage, which would add its own name
            description=f"Removes nodes from the SageMaker HyperPod cluster {settings.cluster}",
        )
        hook = settings.before_removal and lambda_.Function.from_function_arn(
            self, "BeforeRemoval", settings.before_removal
        )
        # The other settings have the names of the construct's arguments.
        arguments = {key: getattr(settings, key) for key in BY_KEY.keys() - _OF_THE_STACK}
        arguments |= {
            "min_remaining": settings.min_remaining or None,
            "before_removal": hook or None,
            "timeout": Duration.seconds(settings.timeout),
            "retry_for": Duration.seconds(settings.retry_for),
        }
        self.removal = NodeRemoval(
            self,
            "Removal",
            cluster_arn=settings.cluster if is_arn(settings.cluster) else None,
            cluster_name=None if is_arn(settings.cluster) else settings.cluster,
            **arguments,
        )
        if settings.file is not None:
            for warning in _REVIEWED_IN_A_FILE:
                Annotations.of(self.removal).acknowledge_warning(
                    warning.value, f"the nodes are listed in {settings.file}"
                )
        for attribute, description in _OUTPUTS.items():
            CfnOutput(
                self,
                attribute.value,
                description=description,
                value=self.removal.resource.get_att_string(attribute.value),
            )
        CfnOutput(
            self,
            "LogGroup",
            description="What happened to each node",
            value=self.removal.provider.log_group.log_group_name,
        )


class NodeRemovalStage(Stage):
    """The removal of one set of nodes, as a stage of CDK Pipelines.

    ::

        wave = pipeline.add_wave("Removals")
        wave.add_stage(NodeRemovalStage(app, "ml-cluster", removal="removals/ml-cluster.yaml"))

    The stack has the name from the settings, without the name of the stage: the same file makes the
    same stack from a pipeline and from a developer's machine.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        removal: Settings | str | PathLike[str],
        env: Environment | None = None,
    ) -> None:
        """Create the stage and its stack.

        Args:
            scope: the app, or a construct that contains the stage.
            construct_id: name of the stage in the pipeline.
            removal: the path of a removal file (YAML needs the extra `app`), or its settings.
            env: account and region of the cluster. Default: those of the pipeline.

        Raises:
            UnreadableFileError: the file cannot be read.
            SettingsError: it does not describe a removal.
            NodeRemovalError: the construct cannot be created.
        """
        super().__init__(scope, construct_id, env=env)
        if not isinstance(removal, Settings):
            name = fspath(removal)
            removal = read_removal_file(Path(name), name).settings
        self.stack = NodeRemovalStack(self, removal)


def settings_from_context(context: Mapping[str, Any], folder: Path) -> Settings:
    """Return the settings from the context of an app. The path of a file is relative to `folder`.

    Raises:
        SettingsError: it does not describe a removal.
    """
    _reject_misspelled_keys(context)
    keys = [key for key in BY_KEY if context.get(key) is not None]
    file = context.get(_REMOVALS)
    if file is None:
        if not keys:
            raise SettingsError(
                "nothing to deploy; give -c cluster=NAME -c node_ids=ID,ID or -c removals=FILE"
            )
        given = given_values({key: context[key] for key in keys}, "-c ")
        return settings_from(given, "the command line")
    if keys:
        raise SettingsError(
            f"-c {_REMOVALS} names a file, which must contain every key; also given:"
            f" {', '.join(f'-c {key}' for key in keys)}; allowed: the file or the keys, not both"
        )
    if not isinstance(file, str) or not file:
        raise SettingsError(f"-c {_REMOVALS}: {contract.quote(file)} is not the path of a file")
    return read_removal_file(folder / file, contract.escape(file)).settings


def _reject_misspelled_keys(context: Mapping[str, Any]) -> None:
    """Raise `SettingsError` for a key that is nearly one of this project.

    The context also has keys of the CDK and of a user's `~/.cdk.json`, so an unknown key alone is
    not a mistake. But a list of nodes must not be ignored because of a typing error.
    """
    known = [_REMOVALS, *BY_KEY]
    for key in context:
        near = get_close_matches(key.lower(), known, n=1, cutoff=_NEAR)
        if near and key not in known:
            raise SettingsError(
                f"-c {contract.escape(key, 80)}: unknown key, perhaps {near[0]};"
                f" allowed: {', '.join(known)}"
            )


def main() -> None:
    """Synthesize the stack from the context, or exit with one line that says what is wrong."""
    app = App()
    try:
        settings = settings_from_context(app.node.get_all_context(), Path.cwd())
        NodeRemovalStack(app, settings)
    except (NodeRemovalError, SettingsError) as error:
        sys.exit(f"error: {error}")
    app.synth()
