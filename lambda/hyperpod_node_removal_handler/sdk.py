"""botocore, and no more of it than the function needs: most of a cold start is the SDK.

boto3 is not imported. The carried models (`scripts/prune_botocore_models.py`) come before those of
the runtime, so a newer SDK there cannot change what a call sends. See docs/adr/0011.
"""

import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from hyperpod_node_removal_handler.leaving_out import leaving_out

try:
    # Docstrings for the methods of clients, and all that it takes to render them.
    with leaving_out("botocore.docs.docstring", "botocore.docs.utils"):
        from botocore.loaders import Loader
        from botocore.session import Session
except Exception:  # noqa: BLE001
    # The botocore of another runtime may need them. What fails again is for `entry` to tell.
    from botocore.loaders import Loader
    from botocore.session import Session

_log = logging.getLogger(__name__)

API_VERSIONS: Final = {
    "cloudformation": "2010-05-15",
    "events": "2015-10-07",
    "lambda": "2015-03-31",
    "sagemaker": "2017-07-24",
}
"""Services that are called, in the version of the carried model."""


def make_client(service: str, config: Any) -> Any:
    """A new client of `service`, for the region and with the credentials of the environment."""
    version = API_VERSIONS[service]
    try:
        return _session().create_client(service, api_version=version, config=config)
    except Exception as error:  # noqa: BLE001
        # The botocore of another runtime may be built in another way. What is wrong with the
        # environment is raised again here.
        _log.warning("Starting %s the slow way (%s).", service, type(error).__name__)
        return Session().create_client(service, config=config)


@cache
def _session() -> Any:
    session = Session()
    models = _Models(extra_search_paths=[str(Path(__file__).with_name("data"))])
    session.register_component("data_loader", models)
    return session


class _Models(Loader):  # type: ignore[misc]
    """Were a newer botocore to ask in another way, it would only take longer."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002
        """What is called. The base class reads a thousand folders to find out what could be."""
        return list(API_VERSIONS)

    def load_data_with_path(self, name: str) -> tuple[Any, str]:
        """The data of this name, and its file.

        `endpoints` is 1.2 MB that the rules of each service, of 5 KB, have taken the place of.
        What is left to it is to tell partitions apart, as `partitions` does as well.
        """
        if name == "endpoints":
            partitions = self.load_data("partitions")["partitions"]
            endpoints = {"version": 3, "partitions": [_endpoints_of(one) for one in partitions]}
            return endpoints, f"{self.BUILTIN_DATA_PATH}/endpoints.json"
        data, path = super().load_data_with_path(name)
        return data, str(path)


def _endpoints_of(partition: Mapping[str, Any]) -> dict[str, Any]:
    names, host = partition["outputs"], "{service}%s.{region}.{dnsSuffix}"
    suffix, dual = names["dnsSuffix"], names["dualStackDnsSuffix"]
    return {
        "partition": partition["id"],
        "regionRegex": partition["regionRegex"],
        "dnsSuffix": suffix,
        "regions": {},
        "services": {},
        "defaults": {
            "hostname": host % "",
            "protocols": ["https"],
            "signatureVersions": ["v4"],
            "variants": [
                {"tags": ["fips"], "dnsSuffix": suffix, "hostname": host % "-fips"},
                {"tags": ["dualstack"], "dnsSuffix": dual, "hostname": host % ""},
                {"tags": ["dualstack", "fips"], "dnsSuffix": dual, "hostname": host % "-fips"},
            ],
        },
    }
