"""The embedded AWS: ministack in a process of its own, with the gaps filled that matter here.

ministack is CloudFormation, Lambda, S3, IAM, SSM, STS and Logs. `shim` names what is changed in
it, for exactly one version. The process is started by `sandbox.process`.
"""

from typing import Final

STOP: Final = "stop"
"""What the parent writes to the engine's standard input before it closes it."""
OWN_AGENT: Final = "md/sandbox"
"""What the sandbox's own look at stacks has in its user agent, and nobody else's."""
PATH_OF_DENIAL: Final = "/sandbox/denial"
"""A PUT of an access key, an IAM action and a resource's ARN, as a JSON list, is answered with the
message of an AccessDeniedException, or with nothing."""
EKS_FOLDER: Final = "eks"
"""Folder of the sandbox's directory in which a file for each EKS cluster is what is told of it."""
EKS_ACCESS_ENTRIES: Final = "access-entries.jsonl"
"""The file of that folder in which the access entries are that CloudFormation has made."""
