"""Heal the drifted counters of all accounts once: ``python -m deploy.sweep [CURSOR]``, which becomes ``api.sweep``.

Where, as for ``deploy.infra``: the emulator at ``AWS_ENDPOINT_URL``, or else the one of the ``up`` that runs with
``PORT`` (8000); with ``ENV=aws`` AWS, by the SDK's own settings. Nothing else ever reaches AWS.
"""

import os
import sys
from collections.abc import Mapping

from deploy.infra import endpoint_of
from stack import aws, runs
from stack.errors import StackError
from stack.network import is_same_server, read_port
from stack.paths import ROOT
from stack.system import LOCAL
from stack.up import API_PORT


def main(arguments: list[str]) -> None:
    """Become the sweep; exit with 1 when there is nothing to sweep."""
    try:
        environment = environment_of(os.environ)
    except StackError as exc:
        sys.exit(f"sweep: {exc}")
    os.chdir(ROOT)
    os.execve(sys.executable, [sys.executable, "-m", "api.sweep", *arguments], environment)  # noqa: S606  # as above


def environment_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the sweep.

    Raises:
        StackError: Nothing says where.
    """
    if endpoint_of(environment) is None:
        return dict(environment)
    endpoint = environment.get("AWS_ENDPOINT_URL")
    others = aws.without_aws(environment)
    try:
        run = runs.find(read_port(environment, "PORT", API_PORT))
    except StackError as exc:
        if not endpoint:
            raise StackError(f"{exc} Or name an emulator with AWS_ENDPOINT_URL=..., or say ENV=aws.") from exc
    else:
        if not endpoint or is_same_server(endpoint, run.endpoint):
            return {**LOCAL, **others, **aws.environment(run.endpoint, run.region), "TABLE_NAME": run.table}
    return {**LOCAL, **others, **aws.environment(endpoint)}


if __name__ == "__main__":
    main(sys.argv[1:])
