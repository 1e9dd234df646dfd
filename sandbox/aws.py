"""An AWS for one test session or one demo: CloudFormation, Lambda, S3 and a HyperPod service."""

import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import boto3
from botocore.config import Config

from sandbox.assembly import read_assembly
from sandbox.awscli import run_aws
from sandbox.cdk import run_cdk
from sandbox.certificates import Certificates, make_certificates
from sandbox.engine import OWN_AGENT, PATH_OF_DENIAL
from sandbox.engine.settings import PATH as PATH_OF_SETTINGS
from sandbox.engine.settings import Settings
from sandbox.hyperpod import HyperPod
from sandbox.interpreters import runtime_client
from sandbox.process import SandboxError, log_tail, running_engine
from sandbox.project import PATH, ROOT
from sandbox.record import ReceivedReply, SentRequest, read_replies, read_requests
from sandbox.stacks import Deployment, StackEvent, Stacks

ACCOUNT: Final = "000000000000"
REGION: Final = "us-east-1"
_IDLE_SECONDS: Final = 60
_TEMPORARY: Final = "ASIA"
"""How the access key of a role's session begins (IAM user guide, unique ids)."""


class Sandbox:
    """An embedded AWS on free ports of 127.0.0.1, with nothing of the machine's own AWS in it.

    SageMaker is `hyperpod`, served from this process; all else is an engine in a child process,
    which ends with the sandbox, or with this process however that ends. Functions run in processes
    of their own. What differs from AWS: `docs/adr/0004-the-sandbox-engine.md`.
    """

    def __init__(
        self,
        hyperpod: HyperPod | None = None,
        *,
        account: str = ACCOUNT,
        region: str = REGION,
        python: Path | None = None,
    ) -> None:
        """`python` is the interpreter of Python functions. Default: what the environment variable
        `SANDBOX_PYTHON` names, or else the one that this process runs on."""
        self.account = account
        self.region = region
        self.hyperpod = hyperpod or HyperPod(account=account, region=region)
        self._python = python or Path(os.environ.get("SANDBOX_PYTHON", sys.executable))
        self._settings = Settings()
        self._exit = ExitStack()
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        with ExitStack() as exit_stack:
            self.directory = Path(
                exit_stack.enter_context(
                    tempfile.TemporaryDirectory(prefix="sandbox-", ignore_cleanup_errors=True)
                )
            )
            certificates = make_certificates(self.directory)
            trust = _trust(certificates)
            sagemaker = exit_stack.enter_context(self.hyperpod.serve(self._denial))
            settings = {"PATH": PATH, "AWS_ENDPOINT_URL_SAGEMAKER": sagemaker, **trust}
            interpreter = {
                "SANDBOX_PYTHON": str(self._python),
                "SANDBOX_RUNTIME_CLIENT": str(runtime_client(self._python)),
            }
            self.endpoint = exit_stack.enter_context(
                running_engine(self.directory, certificates, settings | interpreter)
            )
            self._authority = certificates.authority
            self.environment: dict[str, str] = {
                **settings,
                "HOME": str(self.directory),
                "LANG": "C.UTF-8",
                "AWS_ENDPOINT_URL": self.endpoint,
                # a key that is an account's number is its owner's
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
            self._stacks = Stacks(
                self._new_client("cloudformation", user_agent_extra=OWN_AGENT), self.client("s3")
            )
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
        """A boto3 client for a service of the sandbox, one per service; thread-safe."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._new_client(service)
            return self._clients[service]

    def _new_client(self, service: str, **config: str) -> Any:
        return boto3.session.Session().client(
            service,
            region_name=self.region,
            endpoint_url=self.environment.get(f"AWS_ENDPOINT_URL_{service.upper()}", self.endpoint),
            aws_access_key_id=self.account,
            aws_secret_access_key="testing",
            verify=str(self._authority),
            config=Config(proxies={}, max_pool_connections=4, **config),
        )

    @contextmanager
    def settings(self, **values: object) -> Iterator[None]:
        """Change settings of the engine for a while; see `sandbox.engine.settings.Settings`."""
        before = {name: getattr(self._settings, name) for name in values}
        self._change(values)
        try:
            yield
        finally:
            self._change(before)

    def _change(self, values: dict[str, Any]) -> None:
        self._settings.change(values)
        self._ask("PUT", PATH_OF_SETTINGS, json.dumps(values))

    def _denial(self, access_key: str, action: str, resource: str) -> str:
        """Why the engine's IAM denies access to SageMaker; empty where it does not."""
        if not access_key.startswith(_TEMPORARY):
            # a person, or the engine for a stack's cluster, which answers no one meanwhile
            return ""
        return self._ask("PUT", PATH_OF_DENIAL, json.dumps([access_key, action, resource]))

    # Stacks, without the CDK CLI ------------------------------------------------------------

    def deploy(
        self,
        stack_name: str,
        template: Mapping[str, Any],
        *,
        parameters: Mapping[str, str] | None = None,
        assets: Mapping[str, Path] | None = None,
        rollback: bool = True,
    ) -> Deployment:
        """Create or update a stack and wait for the end of it; see `Stacks.deploy`."""
        return self._stacks.deploy(
            stack_name, template, parameters=parameters, assets=assets, rollback=rollback
        )

    def deploy_assembly(
        self,
        directory: Path,
        stack_name: str,
        *,
        parameters: Mapping[str, str] | None = None,
        rollback: bool = True,
    ) -> Deployment:
        """Deploy one stack of a `cdk.out`, assets included; no bootstrap is needed."""
        stack = read_assembly(directory, stack_name)
        return self.deploy(
            stack_name,
            stack.template,
            parameters=parameters,
            assets=stack.assets,
            rollback=rollback,
        )

    def delete(self, stack_name: str) -> Deployment:
        """Delete a stack and wait for the end of it; KeyError when there is none."""
        return self._stacks.delete(stack_name)

    def events(self, stack: str) -> list[StackEvent]:
        """All events of a stack, named by name or id, oldest first; none for a stack unheard of."""
        return self._stacks.events(stack)

    def status(self, stack_name: str) -> str | None:
        """The stack's status, or None when there is no such stack (any more)."""
        return self._stacks.status(stack_name)

    def stack_id(self, stack_name: str) -> str | None:
        """The stack's ARN, or None when there is no such stack (any more)."""
        return self._stacks.stack_id(stack_name)

    def outputs(self, stack_name: str) -> dict[str, str]:
        """The stack's outputs by key."""
        return self._stacks.outputs(stack_name)

    # The CLIs --------------------------------------------------------------------------------

    def cdk(
        self,
        *args: str,
        cwd: Path | None = None,
        check: bool = False,
        on_line: Callable[[str], None] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run the CDK CLI against the sandbox; see `run_cdk`."""
        return run_cdk(*args, environment=self.environment, cwd=cwd, check=check, on_line=on_line)

    def aws(self, *args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the AWS CLI against the sandbox; see `run_aws`."""
        return run_aws(*args, environment=self.environment, cwd=cwd)

    def bootstrap(self) -> None:
        """Run `cdk bootstrap`, once per sandbox; the CLI's deployments need it.

        Raises:
            SandboxError: it failed.
        """
        with tempfile.TemporaryDirectory(dir=self.directory) as empty:
            done = self.cdk("bootstrap", f"aws://{self.account}/{self.region}", cwd=Path(empty))
        if done.returncode:
            log = log_tail(self.directory / "engine.log")
            raise SandboxError(f"cdk bootstrap failed:\n{done.stdout}\n{log}")

    # What happened --------------------------------------------------------------------------

    def log_lines(self, log_group: str) -> list[str]:
        """All lines of a log group, of every stream, oldest first, once no function is running."""
        self.await_idle()
        pages = self.client("logs").get_paginator("filter_log_events")
        found = pages.paginate(logGroupName=log_group)
        return [event["message"] for page in found for event in page["events"]]

    def requests(self) -> list[SentRequest]:
        """Every request that a custom resource was sent, in order."""
        return read_requests(self.directory)

    def replies(self) -> list[ReceivedReply]:
        """Everything that was sent to a ResponseURL, in order of arrival."""
        return read_replies(self.directory)

    def await_idle(self) -> None:
        """Wait until no function is running."""
        self._ask("GET", "/sandbox/idle")

    def _ask(self, method: str, path: str, body: str = "") -> str:
        connection = http.client.HTTPSConnection(
            self.endpoint.removeprefix("https://"),
            timeout=_IDLE_SECONDS,
            context=ssl.create_default_context(cafile=str(self._authority)),
        )
        try:
            connection.request(method, path, body)
            return connection.getresponse().read().decode()
        finally:
            connection.close()


def _trust(certificates: Certificates) -> dict[str, str]:
    """The variables by which Python, the SDKs and Node.js trust the sandbox, and no one else."""
    path = str(certificates.authority)
    names = ("SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
    return dict.fromkeys(names, path)
