"""What a process's DynamoDB client uses: calls by operation, and the units that AWS would bill for them.

Write units are what the database itself says each write consumed. Read units follow AWS's published rule, as an
emulator's own are wrong: half a unit for each 4 KB read, a whole one when the read is strongly consistent.

Units cost the client time, as each answer is longer and is looked into. So they are counted only where speed is not
measured.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from counters.stores.dynamodb.answers import AnswerError, ConditionFailedError
from counters.stores.dynamodb.failures import CONDITION_FAILED, cancellation_reasons
from stack.harness.client import Request, send_all

if TYPE_CHECKING:
    from collections.abc import Mapping

    from counters.stores.dynamodb.client import Send

_READ_UNIT_BYTES: Final = 4096
_STRONG: Final = 1.0
_EVENTUAL: Final = 0.5
_READS: Final = frozenset({"GetItem", "Query", "BatchGetItem"})
_BATCH: Final = "BatchExecuteStatement"
_WRITES: Final = frozenset({"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", _BATCH})


class Units(msgspec.Struct, frozen=True):
    """What AWS bills for.

    Attributes:
        write: Write request units.
        read: Read request units.
    """

    write: float
    read: float

    def __sub__(self, earlier: Units) -> Units:
        return Units(self.write - earlier.write, self.read - earlier.read)


class Usage(msgspec.Struct, frozen=True):
    """What was used so far, or between two moments.

    Attributes:
        calls: Requests sent, by operation; each try of a repeated one counts.
        units: What they are billed; None when that is not counted.
    """

    calls: dict[str, int]
    units: Units | None

    @property
    def total_calls(self) -> int:
        """Requests of all operations."""
        return sum(self.calls.values())

    def __sub__(self, earlier: Usage) -> Usage:
        calls = {name: n - earlier.calls.get(name, 0) for name, n in self.calls.items()}
        units = self.units - earlier.units if self.units and earlier.units else None
        return Usage(calls, units)


class Meter:
    """Follows every call that is sent through it.

    Args:
        send: What sends the calls.
        units: Whether to count units, too.
    """

    def __init__(self, send: Send, *, units: bool) -> None:
        self._send = send
        self._calls: Counter[str] = Counter()
        self._counts_units = units
        self._write_units = 0.0
        self._read_units = 0.0

    @property
    def usage(self) -> Usage:
        """What was used since the meter was made."""
        units = Units(self._write_units, self._read_units) if self._counts_units else None
        return Usage(dict(self._calls), units)

    async def send(self, *, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Send a call and count it.

        A call without an answer may have been carried out, which nobody knows: it counts as a call and as no units.
        """
        self._calls[action] += 1
        if not self._counts_units:
            return await self._send(action=action, payload=payload)
        if action in _WRITES:
            return await self._write(action, payload)
        answer = await self._send(action=action, payload=payload)
        if action in _READS:
            self._read_units += _read_units(action, payload, answer)
        return answer

    async def _write(self, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        try:
            answer = await self._send(action=action, payload={**payload, "ReturnConsumedCapacity": "TOTAL"})
        except AnswerError as error:
            self._write_units += _refused_units(error)
            raise
        self._write_units += _batch_units(answer) if action == _BATCH else _write_units(answer)
        return answer


async def read_usage(url: str) -> Usage:
    """Return what a process of ``load.server`` has used so far."""
    (answer,) = (await send_all([Request("GET", f"{url}/usage")], 1)).answers
    return msgspec.json.decode(answer.body, type=Usage)


def _write_units(answer: Mapping[str, Any]) -> float:
    """Return what a write says that it consumed."""
    consumed = answer["ConsumedCapacity"]
    tables = consumed if isinstance(consumed, list) else [consumed]
    return float(sum(table["CapacityUnits"] for table in tables))


def _batch_units(answer: Mapping[str, Any]) -> float:
    """Return what a batch of inserts is billed: a unit each, as no item here is larger than 1 KB.

    One that is refused for its key is billed like any other. DynamoDB Local tells of no units here.
    """
    codes = [response.get("Error", {}).get("Code") for response in answer["Responses"]]
    return float(codes.count(None) + codes.count("DuplicateItem"))


def _refused_units(error: AnswerError) -> float:
    """Return what a write that was not carried out was billed.

    A refused condition is billed like the write, and its answer does not say how much: one unit, as no item here is
    larger than 1 KB. What AWS bills for the other items of a transaction that is cancelled it does not publish: they
    count as nothing.
    """
    if isinstance(error, ConditionFailedError):
        return 1.0
    return float(cancellation_reasons(error).count(CONDITION_FAILED))


def _read_units(action: str, payload: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
    """Return what a read is billed: each item by itself, but what a Query found all together.

    A search that finds nothing costs as much as one small item (DynamoDB Local bills it for GetItem only).
    """
    if action == "GetItem":
        return _weight(payload) * _blocks(answer.get("Item", {}))
    if action == "Query":
        return _weight(payload) * _blocks(*answer["Items"])
    units = 0.0
    for table, request in payload["RequestItems"].items():
        found = answer["Responses"].get(table, [])
        missing = len(request["Keys"]) - len(found)
        units += _weight(request) * (missing + sum(_blocks(item) for item in found))
    return units


def _weight(request: Mapping[str, Any]) -> float:
    return _STRONG if request.get("ConsistentRead") else _EVENTUAL


def _blocks(*items: Mapping[str, Any]) -> int:
    """Return how many blocks of 4 KB these items fill together, at least one."""
    size = sum(len(name.encode()) + _size(value) for item in items for name, value in item.items())
    return max(1, math.ceil(size / _READ_UNIT_BYTES))


def _size(value: Mapping[str, Any]) -> int:
    """Return the size of an attribute's value in bytes, by AWS's rules; of the types that this project stores."""
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        # One byte for two digits and one more.
        return len(content) // 2 + 2
    return 3 + sum(1 + len(name.encode()) + _size(member) for name, member in content.items())
