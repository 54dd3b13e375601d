"""What Terraform calls by name is there under that name in the code."""

import json
import re

import msgspec

from api.settings import ApiSettings
from counters import keys
from counters.healing.sweep import SweepReport
from deploy.infra import TERRAFORM_ROOT
from tests.docker.dockerfile import read_stages


def _read(module: str, file: str) -> str:
    return (TERRAFORM_ROOT / "modules" / module / file).read_text(encoding="utf-8")


def test_the_metrics_of_a_sweep_are_fields_of_its_report() -> None:
    found = re.search(r"sweep_metrics += \{ for field in (\[.*?\])", _read("observability", "dashboard.tf"))
    assert found
    assert set(json.loads(found[1])) <= {field.name for field in msgspec.structs.fields(SweepReport)}


def test_every_setting_of_the_api_can_be_made_with_terraform() -> None:
    environment = re.search(r"^  environment = \{\n(.*?)^  \}", _read("api", "main.tf"), re.MULTILINE | re.DOTALL)
    assert environment
    names = {name.lower() for name in re.findall(r"^ +(\w+) +=", environment[1], re.MULTILINE)}
    assert names - {"aws_region"} == {field.name for field in msgspec.structs.fields(ApiSettings)}


def test_the_table_removes_what_the_code_lets_expire() -> None:
    assert re.findall(r'attribute_name = "(\S+)"', _read("table", "main.tf")) == [keys.EXPIRES_AT]


def test_the_service_with_autoscaling_is_the_one_without_but_for_the_number_of_tasks() -> None:
    blocks = re.findall(
        r'^resource "aws_ecs_service" "\w+" \{\n(.*?)^\}', _read("api", "ecs_service.tf"), re.MULTILINE | re.DOTALL
    )
    autoscaled, fixed = ({line for line in block.splitlines() if not line.lstrip().startswith("#")} for block in blocks)
    assert {line.split("=")[0].strip() for line in autoscaled ^ fixed} == {"count", "name", "ignore_changes"}


def test_the_container_s_health_check_is_that_of_the_image() -> None:
    task = _read("api", "main.tf")
    python = re.search(r'python = ("\S+")', task)
    command = re.search(r"command +=( \[.*\])", task)
    assert python
    assert command
    (of_the_image,) = [one for one in read_stages("api.Dockerfile")[-1] if one.name == "HEALTHCHECK"]
    assert json.loads(command[1].replace("local.python", python[1])) == ["CMD", *of_the_image.command]
