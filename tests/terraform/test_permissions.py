"""The roles allow the DynamoDB actions that the code calls, no more and no less."""

import ast
import re
from pathlib import Path

from deploy.infra import TERRAFORM_ROOT
from stack.paths import ROOT

_TRANSACTION = "TransactWriteItems"
_BATCH = "BatchExecuteStatement"


def _called(source: Path) -> set[str]:
    """Return the actions that ``self._client`` is asked for; a transaction or a batch stands for its parts."""
    actions = set()
    tree = ast.parse(source.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            target = node.func.value
            if isinstance(target, ast.Attribute) and target.attr == "_client":
                actions.add(node.func.attr.title().replace("_", ""))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    if _TRANSACTION in actions:
        actions.remove(_TRANSACTION)
        parts = {"Put", "Delete", "Update", "ConditionCheck"}
        actions |= {f"{part}Item" for part in parts if part in texts}
    if _BATCH in actions:
        actions.remove(_BATCH)
        verbs = {"Insert", "Update", "Delete", "Select"}
        actions |= {f"PartiQL{verb}" for verb in verbs if any(text.startswith(f"{verb.upper()} ") for text in texts)}
    return actions


def _allowed(module: str) -> set[str]:
    policy = (TERRAFORM_ROOT / "modules" / module / "iam.tf").read_text()
    return set(re.findall(r'"dynamodb:(\w+)"', policy))


def test_the_api_may_do_what_its_store_calls() -> None:
    dynamodb = ROOT / "counters" / "stores" / "dynamodb"
    assert _allowed("api") == set().union(*(_called(dynamodb / f"{name}.py") for name in ("store", "table", "inserts")))


def test_the_lambda_may_do_what_its_store_calls_and_read_the_stream() -> None:
    stream = {"DescribeStream", "GetRecords", "GetShardIterator", "ListStreams"}
    assert _allowed("stream_lambda") - stream == _called(ROOT / "stream_lambda" / "store.py")
