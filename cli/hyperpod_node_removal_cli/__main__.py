"""Run the command: `python -m hyperpod_node_removal_cli`."""

import sys

from hyperpod_node_removal_cli.main import main

sys.exit(main())
