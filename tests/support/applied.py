"""Terraform's root, applied to an emulator."""

from pathlib import Path
from typing import NamedTuple

from deploy.infra import Terraform


class Applied(NamedTuple):
    """The root, applied.

    Attributes:
        terraform: Runs further commands on it.
        variables: What to tell them all.
        endpoint: The emulator.
        table: Name of the table.
        function: Name of the Lambda.
        logs: Folder for the logs of what a test starts.
    """

    terraform: Terraform
    variables: tuple[str, ...]
    endpoint: str
    table: str
    function: str
    logs: Path
