"""`hyperpod-node-removal`: what a removal would do, and what one did.

Facts are gathered by `validating`, `planning`, `explaining` and `watching`; each gives a `Report`,
which `rendering` shows as a table, JSON, Markdown, JUnit or annotations. Nothing here imports the
CDK, and nothing changes anything in AWS.
"""
