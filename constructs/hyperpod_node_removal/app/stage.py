"""A stage of CDK Pipelines."""

from os import PathLike, fspath
from pathlib import Path

from aws_cdk import Environment, Stage
from constructs import Construct

from hyperpod_node_removal.app.stack import NodeRemovalStack
from hyperpod_node_removal_file import Settings, read_removal_file


class NodeRemovalStage(Stage):
    """The removal of one set of nodes, as a stage of a pipeline::

        wave = pipeline.add_wave("Removals")
        wave.add_stage(NodeRemovalStage(app, "ml-cluster", removal="removals/ml-cluster.yaml"))

    The stack is called as the settings say, without the name of the stage: the same file makes the
    same stack from a pipeline and from a desk.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        removal: Settings | str | PathLike[str],
        env: Environment | None = None,
    ) -> None:
        """Make the stage and its stack.

        Args:
            scope: the app, or what else holds the stage.
            construct_id: name of the stage in the pipeline.
            removal: the path of a removal file (YAML needs the extra `app`), or its settings.
            env: account and region of the cluster. Default: those of the pipeline.

        Raises:
            UnreadableFileError: the file cannot be read.
            SettingsError: it does not describe a removal.
            NodeRemovalError: the construct cannot be made.
        """
        super().__init__(scope, construct_id, env=env)
        settings = removal if isinstance(removal, Settings) else _settings(fspath(removal))
        self.stack = NodeRemovalStack(self, settings)


def _settings(file: str) -> Settings:
    return read_removal_file(Path(file), file).settings
