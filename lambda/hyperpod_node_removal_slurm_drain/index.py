"""The entry: from the question of `BeforeRemoval` to its answer."""

import logging
import os
import time
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from hyperpod_node_removal_hook import Question, not_asked, veto
from hyperpod_node_removal_slurm_drain.drain import Jobs, Policy, drain, release
from hyperpod_node_removal_slurm_drain.slurm import Slurm, SlurmError

_log = logging.getLogger(__name__)
logging.getLogger("hyperpod_node_removal_slurm_drain").setLevel(logging.INFO)
# At DEBUG, which an ApplicationLogLevel may ask for, it logs the secret.
logging.getLogger("botocore").setLevel(logging.INFO)


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001
    """Take the next step of a drain, or undo it.

    Raises:
        SlurmError: a release was not carried out; Lambda tries it again.
    """
    question = Question.of(event)
    if question.is_release:
        if time.time() <= question.deadline:
            release(_slurm(), question)
        return {}
    if question.eks_cluster_arn:
        return veto("the cluster is orchestrated by EKS, not by Slurm: use EksDrain")
    settings = os.environ
    policy = Policy(Jobs(settings["JOBS"]), float(settings["GRACE"]))
    try:
        return drain(_slurm(), question, policy, now=time.time()).to_json()
    except SlurmError as error:
        _log.error("%s", error)
        return not_asked(question, str(error), is_transient=error.is_transient)


def _slurm() -> Slurm:
    secrets = get_session().create_client("secretsmanager")
    try:
        # Read each time: a token is short-lived, and another may be in the secret by now.
        token = secrets.get_secret_value(SecretId=os.environ["TOKEN"])["SecretString"]
    except (BotoCoreError, ClientError) as error:
        raise SlurmError(f"the secret with the token cannot be read: {error}") from error
    return Slurm(os.environ["REST_API"], user=os.environ["USER_NAME"], token=token.strip())
