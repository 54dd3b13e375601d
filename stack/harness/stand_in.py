"""A stand-in for DynamoDB that costs next to nothing: ``python -m stack.harness.stand_in PORT``.

An emulator takes as much of this machine's processors as the API does, where DynamoDB takes none. With this in its
place the API's own speed can be measured. It keeps counters, and checks no condition: it is for loads in which none
fails. It forgets the entries that it takes, and answers no other calls than those of a load that creates.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, cast

import httptools
import msgspec
import uvloop

from counters import keys
from stack.network import LOOPBACK

Item: TypeAlias = dict[str, dict[str, str]]
Call: TypeAlias = Mapping[str, Any]

_HEAD: Final = b"HTTP/1.1 %d OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n"
_UNKNOWN: Final = b'{"__type":"com.amazonaws.dynamodb.v20120810#UnknownOperationException"}'


class StandInTable:
    """The items of all tables, by key."""

    def __init__(self) -> None:
        layout = {keys.LAYOUT: {"N": str(keys.LAYOUT_VERSION)}}
        self._items: dict[tuple[str, str], Item] = {(keys.LAYOUT_PK, keys.LAYOUT_SK): layout}
        self._operations: Final[Mapping[str, Callable[[Call], object]]] = {
            "GetItem": self._get,
            "BatchGetItem": self._get_all,
            "UpdateItem": self._add,
            "PutItem": lambda _: {},
            "BatchExecuteStatement": lambda call: {"Responses": [{} for _ in call["Statements"]]},
            "TransactWriteItems": self._put_all,
        }

    def answer(self, operation: str, body: bytes) -> bytes:
        """Return the whole answer to a call."""
        carry_out = self._operations.get(operation)
        if carry_out is None:
            return _HEAD % (400, len(_UNKNOWN)) + _UNKNOWN
        answer = msgspec.json.encode(carry_out(msgspec.json.decode(body)))
        return _HEAD % (200, len(answer)) + answer

    def _get(self, call: Call) -> object:
        item = self._items.get(_key(call["Key"]))
        return {"Item": item} if item else {}

    def _get_all(self, call: Call) -> object:
        ((table, wanted),) = call["RequestItems"].items()
        found = [self._items.get(_key(key)) for key in wanted["Keys"]]
        return {"Responses": {table: [item for item in found if item]}}

    def _add(self, call: Call) -> object:
        """Make a flush: it adds to ``best_effort``, and to the revision."""
        item = self._items[_key(call["Key"])]
        delta = int(call["ExpressionAttributeValues"][":delta"]["N"])
        for attribute, added in ((keys.BEST_EFFORT, delta), (keys.REVISION, 1)):
            item[attribute] = {"N": str(int(item[attribute]["N"]) + added)}
        return {"Attributes": item}

    def _put_all(self, call: Call) -> object:
        for put in call["TransactItems"]:
            item = put["Put"]["Item"]
            self._items[_key(item)] = item
        return {}


def _key(item: Item) -> tuple[str, str]:
    return item[keys.PK]["S"], item[keys.SK]["S"]


class _Connection(asyncio.Protocol):
    def __init__(self, table: StandInTable) -> None:
        self._table = table
        self._parser = httptools.HttpRequestParser(self)
        self._operation = ""
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-amz-target":
            self._operation = value.decode().rpartition(".")[2]

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        body, self._body = self._body, b""
        self._transport.write(self._table.answer(self._operation, body))


async def _serve(port: int) -> None:
    table = StandInTable()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(table), LOOPBACK, port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
