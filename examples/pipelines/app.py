"""A stack for each removal file, such as hyperpod-node-removal-ml-cluster for ml-cluster.yaml."""

import sys
from pathlib import Path

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from hyperpod_node_removal.app import NodeRemovalStack
from hyperpod_node_removal_file import SettingsError, read_removal_folder

app = App()
folder = Path("removals")
folder.mkdir(exist_ok=True)  # Git keeps no empty folder
Validations.of(app).add_plugins(AwsSolutionsChecks(app))
try:
    for settings in read_removal_folder(folder, "removals"):
        NodeRemovalStack(app, settings)
except SettingsError as error:
    sys.exit("\n".join(f"error: {problem}" for problem in error.every))
app.synth()
