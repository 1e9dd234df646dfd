"""`hyperpod-node-removal`: what a removal would do, and what one did.

`validate_file`, `plan_file`, `explain_stack` and `watch_stack` gather facts into a `Report`, which
`terminal`, `markdown` and `documents` show. Nothing here imports the CDK, and nothing changes
anything in AWS.
"""
