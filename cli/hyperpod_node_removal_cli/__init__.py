"""The command `hyperpod-node-removal`: show what a removal would do, or what one did.

`validate_file`, `plan_file`, `explain_stack` and `watch_stack` collect facts in a `Report`, which
`terminal` and `documents` render. Nothing here imports the CDK or changes anything in AWS.
"""
