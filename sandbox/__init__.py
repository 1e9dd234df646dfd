"""A simulated AWS for the demo, `make sandbox` and the tests. No account, no network.

`aws.Sandbox` starts it. `engine` is CloudFormation, Lambda, S3 and IAM, in a process of its own
(`process`); `hyperpod` is SageMaker, in the process of the sandbox. `stacks` deploys without a CLI,
`project` runs the CDK CLI, and `interpreters` finds the Python of functions. `schedulers` adds a
Slurm (`slurm`) or a Kubernetes API (`kubernetes`) for a drain.
"""
