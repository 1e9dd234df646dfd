"""Apps of removal files: the stack and the stage that they are made of, and what `app.py` deploys.

::

    cdk deploy -c cluster=ml-cluster -c node_ids=i-0123456789abcdef0,i-0123456789abcdef1
    cdk deploy -c removals=removals.yaml

The keys are those of `docs/contract.md`, in the file and on the command line alike.
An app of a team's own makes a stack for each file, or a stage of CDK Pipelines::

    for settings in read_removal_folder(Path("removals"), "removals"):
        NodeRemovalStack(app, settings)
"""

import sys
from pathlib import Path

from aws_cdk import App

from hyperpod_node_removal._errors import NodeRemovalError
from hyperpod_node_removal.app.context import settings_from_context
from hyperpod_node_removal.app.stack import NodeRemovalStack
from hyperpod_node_removal.app.stage import NodeRemovalStage
from hyperpod_node_removal_file import SettingsError

__all__ = ["NodeRemovalStack", "NodeRemovalStage", "main", "settings_from_context"]


def main() -> None:
    """Synthesize the stack that the context asks for, or say in one line why not and exit."""
    app = App()
    try:
        settings = settings_from_context(app.node.get_all_context(), Path.cwd())
        NodeRemovalStack(app, settings)
    except (NodeRemovalError, SettingsError) as error:
        sys.exit(f"error: {error}")
    app.synth()
