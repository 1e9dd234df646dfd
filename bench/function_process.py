"""The process of a Lambda function: its own code, then the SDK, and nothing else to import.

`bench.processes` runs it as a script, without `site`. It reads a JSON object: where the code and
the SDK are, what to import, the event, and whether to stop at the first request. It prints a JSON
object: CPU seconds and peak memory in kilobytes.
"""

import json
import os
import sys
import time


def _report() -> None:
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
        peak = next(line for line in status if line.startswith("VmHWM"))
    print(
        json.dumps({"cpu": time.process_time(), "peak": int(peak.split()[1])}),
        flush=True,
    )


def _report_at_first_request() -> None:
    import http.client  # noqa: PLC0415 (imported by whatever is measured, too)

    send = http.client.HTTPConnection.send

    def send_first(connection, data):  # type: ignore[no-untyped-def]
        send(connection, data)
        _report()
        os._exit(0)

    http.client.HTTPConnection.send = send_first  # type: ignore[method-assign]


class _Context:
    function_name = "removal"
    invoked_function_arn = "arn:aws:lambda:us-east-1:111122223333:function:removal"
    log_group_name = "/aws/lambda/removal"
    log_stream_name = "2026/11/23/[$LATEST]4f2a91c0"
    aws_request_id = "8d2b0e1c"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


def _main() -> None:
    given = json.load(sys.stdin)
    sys.dont_write_bytecode = True  # what is deployed is not compiled, and cannot be
    sys.path.insert(0, given["code"])
    sys.path.append(given["sdk"])
    if given["stops_at_first_request"]:
        _report_at_first_request()
    module = __import__(given["module"], fromlist=["handler"])
    module.handler(given["event"], _Context())
    _report()
    os._exit(0)  # crhelper's timer would keep the process


_main()
