"""Deploys a node removal: `cdk deploy -c cluster=NAME -c node_ids=ID,ID` or `-c removals=FILE`."""

from hyperpod_node_removal.app import main

main()
