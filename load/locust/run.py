"""Run Locust with our load tests: ``./taskw load:locust``; all arguments are Locust's.

Without ``--host`` (or ``LOCUST_HOST``) the whole system is started on this machine first, and stopped at the end.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stack.errors import StackError
from stack.network import free_port
from stack.paths import ROOT
from stack.system import DEFAULT_TABLE, SystemSettings, running_system

_LOCUST: Final = (sys.executable, "-m", "locust", "-f", str(ROOT / "load" / "locust" / "locustfile.py"))
_NEEDS_NO_HOST: Final = {"-h", "--help", "-V", "--version", "-l", "--list"}


def main() -> int:
    """Run Locust and return its exit status."""
    arguments = sys.argv[1:]
    if _has_host(arguments) or _NEEDS_NO_HOST.intersection(arguments):
        return _run(arguments)
    logs = Path(tempfile.mkdtemp(prefix="locust-"))
    try:
        with running_system(SystemSettings(free_port(), [free_port()], DEFAULT_TABLE, logs)) as system:
            status = _run([*arguments, "--host", *system.api_urls])
    except StackError as exc:
        print(f"load:locust: {exc}", file=sys.stderr)
        return 1
    if status == 0:
        shutil.rmtree(logs)
    else:
        print(f"The logs of the system are in {logs}", file=sys.stderr)
    return status


def _has_host(arguments: Sequence[str]) -> bool:
    parser = ArgumentParser(add_help=False)
    parser.add_argument("-H", "--host", default=os.environ.get("LOCUST_HOST"))
    return bool(parser.parse_known_args(arguments)[0].host)


def _run(arguments: Sequence[str]) -> int:
    """Run Locust until it ends by itself: on Ctrl-C it still comes to a verdict, and needs the system for that."""
    with subprocess.Popen([*_LOCUST, *arguments], cwd=ROOT) as locust:
        # The terminal tells it, too. A handler, as a program would inherit that a signal is ignored.
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: locust.terminate())
        return locust.wait()


if __name__ == "__main__":
    sys.exit(main())
