"""Run the whole system on this machine until told to stop: ``./taskw up``.

Environment variables: ``HOST`` and ``PORT`` of the API (127.0.0.1, 8000), ``EMULATOR_PORT`` (4566), ``TABLE_NAME``
(distributed-counter), and ``AWS_ENDPOINT_URL``, which says to use the emulator there and to start none.
"""

import os
import shlex
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from stack import aws, runs
from stack.errors import StackError
from stack.lambda_log import LambdaLog, now_ms
from stack.network import LOOPBACK, has_proxy, read_port, require_free
from stack.paths import ROOT
from stack.runs import Run
from stack.system import DEFAULT_TABLE, System, SystemSettings, running_system
from stack.watch import EmulatorWatch

API_PORT: Final = 8000
_EMULATOR_PORT: Final = 4566
_WATCH_S: Final = 1.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run everything; return the exit status: 0 when told to stop, 1 when something went wrong."""
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    try:
        _run()
    except KeyboardInterrupt:
        _say("Stopped.")
    except StackError as exc:
        print(f"up: {exc}", file=sys.stderr)
        return 1
    return 0


def _run() -> None:
    started, started_ms = time.monotonic(), now_ms()
    host, port = os.environ.get("HOST") or LOOPBACK, read_port(os.environ, "PORT", API_PORT)
    require_free(port, "The API", "Choose another with PORT=... (or HOST=...).", host)
    emulator = choose_emulator(os.environ, port)
    table = os.environ.get("TABLE_NAME") or DEFAULT_TABLE
    with (
        runs.locked(port) as logs,
        running_system(SystemSettings(emulator, [port], table, logs, host, _say)) as system,
    ):
        runs.record(port, Run(system.api_urls[0], system.endpoint, table, aws.region()))
        _say(_welcome(system, logs, port, time.monotonic() - started))
        _watch(system, logs, started_ms)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Begin to stop; what follows is bounded in time, and a second signal must not cut it short."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    _say("Stopping ...")
    raise KeyboardInterrupt


def choose_emulator(environment: Mapping[str, str], api_port: int) -> int | str:
    """Return the address of the emulator to use, or the port to start one on.

    Raises:
        StackError: The port cannot be used, or is the API's.
    """
    endpoint = environment.get("AWS_ENDPOINT_URL")
    if endpoint:
        return endpoint
    port = read_port(environment, "EMULATOR_PORT", _EMULATOR_PORT)
    if port == api_port:
        raise StackError(f"PORT and EMULATOR_PORT are both {port}. Choose another for one of them.")
    remedy = "Choose another with EMULATOR_PORT=..., or use the emulator there with AWS_ENDPOINT_URL=http://..."
    require_free(port, "The emulator", remedy)
    return port


def _watch(system: System, logs: Path, since_ms: int) -> None:
    """Copy the Lambda's log for as long as every process runs and the emulator has what was made in it."""
    emulator = EmulatorWatch(system.endpoint, system.provisioned)
    # From the start, as a caller may be quicker than we are once the API serves.
    log = LambdaLog(system.endpoint, system.provisioned.function, logs / "lambda.log", since_ms)
    while True:
        for child in system.children:
            child.require_running()
        emulator.require_there()
        # An emulator that is too busy to answer is asked again.
        with suppress(BotoCoreError, ClientError):
            log.copy_new_lines()
        time.sleep(_WATCH_S)


def _welcome(system: System, logs: Path, port: int, seconds: float) -> str:
    api = system.api_urls[0]
    follow = "./taskw logs" if port == API_PORT else f"PORT={port} ./taskw logs"
    curl = "curl --noproxy '*'" if has_proxy(os.environ) else "curl"
    return f"""\
Ready after {seconds:.1f} s. Ctrl-C stops everything.
  API       {api}
  explorer  {api}/swagger
  AWS       {system.endpoint} (emulator; table {system.provisioned.table})
  logs      {logs.relative_to(ROOT)} ({follow} follows them)
A first account:
  {curl} {shlex.quote(f"{api}/accounts")} -H 'content-type: application/json' -d '{{"username": "ada"}}'"""


def _say(text: str) -> None:
    """Print at once, also into a pipe; when nobody reads it any more, the system goes on without."""
    # It is None when up was started with its output closed.
    if sys.stdout is None:
        return
    # Not print(): a signal may come in the middle of it, and its handler prints, too.
    with suppress(OSError):
        os.write(sys.stdout.fileno(), f"{text}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
