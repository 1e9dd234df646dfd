"""An AWS for one test session or one demo: CloudFormation, Lambda, S3 and a HyperPod service."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import boto3
import yaml
from botocore.config import Config

from sandbox.engine import OWN_AGENT
from sandbox.engine.exchange import ReceivedReply
from sandbox.hyperpod import HyperPod
from sandbox.interpreters import runtime_client
from sandbox.process import (
    START_SECONDS,
    SandboxError,
    log_tail,
    make_certificates,
    request,
    running_engine,
)
from sandbox.project import BOOTSTRAP, PATH, ROOT, run_cdk
from sandbox.stacks import Stacks

_VALIDATION: Final = "CDK_VALIDATION"
"""`false`: the CDK does not check templates, which takes it four seconds to start."""
ACCOUNT: Final = "000000000000"
REGION: Final = "us-east-1"
_TEMPORARY: Final = "ASIA"
"""Prefix of the access key of a role's session (IAM user guide, unique ids)."""


class Sandbox:
    """An embedded AWS on free ports of 127.0.0.1, isolated from the machine's own AWS settings.

    SageMaker is `hyperpod`, served from this process. All else is an engine in a child process,
    which ends with the sandbox, or with this process however that ends. Functions run in processes
    of their own. What differs from AWS: `docs/adr/0004-the-sandbox-engine.md`.

    In addition to the methods below, it has those of `Stacks`: `deploy`, `deploy_assembly`,
    `delete`, `events`, `status`, `stack_id`, `outputs`.
    """

    def __init__(
        self,
        hyperpod: HyperPod | None = None,
        *,
        account: str = ACCOUNT,
        region: str = REGION,
        python: Path | None = None,
    ) -> None:
        """Prepare a sandbox, which starts when it is entered.

        Args:
            python: interpreter of Python functions. Default: the environment variable
                `SANDBOX_PYTHON`, or else the interpreter of this process.
        """
        self.account = account
        self.region = region
        self.hyperpod = hyperpod or HyperPod(account=account, region=region)
        self._python = python or Path(os.environ.get("SANDBOX_PYTHON", sys.executable))
        self._lag = (0.0, 0.0)
        self._exit = ExitStack()
        self._session = boto3.session.Session()
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        with ExitStack() as exit_stack:
            temporary = tempfile.TemporaryDirectory(prefix="sandbox-", ignore_cleanup_errors=True)
            self.directory = Path(exit_stack.enter_context(temporary))
            self._authority = make_certificates(self.directory)
            # Python, the SDKs and Node.js trust the sandbox, and nothing else.
            names = ("SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
            sagemaker = exit_stack.enter_context(self.hyperpod.serve(self._denial))
            settings = {
                "PATH": PATH,
                "AWS_ENDPOINT_URL_SAGEMAKER": sagemaker,
                **dict.fromkeys(names, str(self._authority)),
            }
            interpreter = {
                "SANDBOX_PYTHON": str(self._python),
                "SANDBOX_RUNTIME_CLIENT": str(runtime_client(self._python)),
            }
            engine = running_engine(self.directory, settings | interpreter)
            self.endpoint = exit_stack.enter_context(engine)
            self.environment: dict[str, str] = {
                **settings,
                "HOME": str(self.directory),
                "LANG": "C.UTF-8",
                "AWS_ENDPOINT_URL": self.endpoint,
                # an access key that is an account number belongs to that account
                "AWS_ACCESS_KEY_ID": self.account,
                "AWS_SECRET_ACCESS_KEY": "testing",
                "AWS_REGION": self.region,
                "AWS_DEFAULT_REGION": self.region,
                "AWS_EC2_METADATA_DISABLED": "true",
                "CDK_DEFAULT_ACCOUNT": self.account,
                "CDK_DEFAULT_REGION": self.region,
                "CDK_DISABLE_CLI_TELEMETRY": "1",
                "CDK_NOTICES": "false",
                "CDK_DISABLE_VERSION_CHECK": "1",
                # unpacking the CDK takes ten seconds, so it is kept from one sandbox to the next
                "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(ROOT / ".sandbox" / "jsii"),
                "CI": "true",
            }
            if _VALIDATION in os.environ:
                self.environment[_VALIDATION] = os.environ[_VALIDATION]
            stacks = Stacks(
                self._new_client("cloudformation", user_agent_extra=OWN_AGENT),
                self.client("s3"),
                self._await_rest,
            )
            self.deploy = stacks.deploy
            self.deploy_assembly = stacks.deploy_assembly
            self.delete = stacks.delete
            self.events = stacks.events
            self.status = stacks.status
            self.stack_id = stacks.stack_id
            self.outputs = stacks.outputs
            self._exit = exit_stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for client in self._clients.values():
            client.close()
        self._exit.close()

    def client(self, service: str) -> Any:
        """Return a boto3 client for a service of the sandbox, one per service; thread-safe."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._new_client(service)
            return self._clients[service]

    def _new_client(self, service: str, **config: str) -> Any:
        return self._session.client(
            service,
            region_name=self.region,
            endpoint_url=self.environment.get(f"AWS_ENDPOINT_URL_{service.upper()}", self.endpoint),
            aws_access_key_id=self.account,
            aws_secret_access_key="testing",
            verify=str(self._authority),
            config=Config(proxies={}, max_pool_connections=4, **config),
        )

    @contextmanager
    def lag(self, forward: float, back: float) -> Iterator[None]:
        """Let DescribeStacks lag for a while, by seconds: see `sandbox.engine.lag.Lag`."""
        before, self._lag = self._lag, (forward, back)
        self._request("lag", self._lag)
        try:
            yield
        finally:
            self._lag = before
            self._request("lag", before)

    @contextmanager
    def old_properties_of_the_failed_attempt(self) -> Iterator[None]:
        """Set `sandbox.engine.exchange.Exchange.sends_failed_attempt` for a while."""
        self._request("failed-attempt", True)
        try:
            yield
        finally:
            self._request("failed-attempt", False)

    def _denial(self, access_key: str, action: str, resource: str) -> str:
        """Return why the engine's IAM denies access to SageMaker; empty if it does not."""
        if not access_key.startswith(_TEMPORARY):
            # a person, or the engine itself for a stack's cluster, which cannot respond meanwhile
            return ""
        return self._request("denial", [access_key, action, resource])

    def cdk(
        self, *args: str, cwd: Path | None = None, check: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run the CDK CLI against the sandbox; see `run_cdk`."""
        return run_cdk(*args, environment=self.environment, cwd=cwd, check=check)

    def bootstrap(self) -> None:
        """Deploy what `cdk bootstrap` deploys, once per sandbox; the CDK CLI needs it.

        Raises:
            SandboxError: it failed.
        """
        template = yaml.safe_load(BOOTSTRAP.read_text(encoding="utf-8"))
        parameters = {
            "CloudFormationExecutionPolicies": "arn:aws:iam::aws:policy/AdministratorAccess",
            "FileAssetsBucketKmsKeyId": "AWS_MANAGED_KEY",
        }
        done = self.deploy("CDKToolkit", template, parameters=parameters)
        if not done.succeeded:
            log = log_tail(self.directory / "engine.log")
            raise SandboxError(f"The bootstrap failed: {done.failures()}\n{log}")

    def log_lines(self, log_group: str) -> list[str]:
        """Return all lines of a log group, oldest first, once no function is running."""
        self.await_idle()
        pages = self.client("logs").get_paginator("filter_log_events")
        found = pages.paginate(logGroupName=log_group)
        return [event["message"] for page in found for event in page["events"]]

    def requests(self) -> list[dict[str, Any]]:
        """Return every request that was sent to a custom resource, in order."""
        sent: list[dict[str, Any]] = json.loads(self._request("requests"))
        return sent

    def replies(self) -> list[ReceivedReply]:
        """Return everything that was sent to a ResponseURL, in order of arrival."""
        received = json.loads(self._request("replies"))
        return [ReceivedReply(**{**one, "body": one["body"].encode("latin-1")}) for one in received]

    def await_idle(self) -> None:
        """Wait until no function is running."""
        self._request("idle")

    def _await_rest(self, stack_id: str, seconds: float) -> None:
        self._request("rest", [stack_id, seconds], seconds=seconds + START_SECONDS)

    def _request(self, path: str, value: object = None, seconds: float = START_SECONDS) -> str:
        return request(self.endpoint, self._authority, path, value, seconds)
