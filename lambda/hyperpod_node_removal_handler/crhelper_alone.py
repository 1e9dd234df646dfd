"""crhelper without boto3, which it imports for its poller only: a fifth of a cold start."""

import sys
from types import ModuleType

_is_missing = "boto3" not in sys.modules
if _is_missing:
    sys.modules["boto3"] = ModuleType("boto3")
try:
    from crhelper import CfnResource
finally:
    if _is_missing:
        del sys.modules["boto3"]

__all__ = ["CfnResource"]
