"""``SettlementStore`` over boto3, the only client that the Lambda runtime ships.

Unlike the API's store, this one lets the SDK repeat a failed call: a settlement is guarded by its mark and pruning by
the marks' age, so that applying either twice equals applying it once.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

from botocore.exceptions import BotoCoreError, ClientError

from counters.errors import OutcomeUnknownError, StoreError, StoreRejectedError
from counters.keys import (
    COUNTED_FROM,
    EVENTUAL,
    MARK_AT,
    MARK_SEQUENCE,
    MARKS,
    PK,
    SETTLED_AT,
    SK,
    CounterKey,
    exact_key,
)
from counters.settlement import SEQUENCE_DIGITS_MAX, Mark, Settled, Settlement, Unsettled
from counters.stores.aws_errors import error_class, throttling_reasons
from counters.values.numbers import whole_number

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

_CANNOT_BE_UPDATED: Final = "ValidationException"

_TEXT_FROM: Final = 10**37
"""The least sequence number that is stored as text. A DynamoDB number takes less than half of the room, so that AWS's
sequence numbers, of some 30 digits, leave a counter's item below 1 KB; but it holds no more than 38 digits."""

_MARK_PATH: Final = "#marks.#shard"
_COUNTER_EXISTS: Final = "attribute_exists(#pk)"
_SHARD_IS_NEW: Final = f"attribute_not_exists({_MARK_PATH})"
_SEQUENCE_PATH: Final = f"{_MARK_PATH}.#sequence"
# Values of different types have no order, and emulators differ on what a comparison of them gives.
_NOTHING_COUNTED_YET: Final = (
    f"(attribute_type({_SEQUENCE_PATH}, :number) AND {_SEQUENCE_PATH} < :first_number"
    f" OR attribute_type({_SEQUENCE_PATH}, :text) AND {_SEQUENCE_PATH} < :first_text)"
)

_SETTLE_UPDATE: Final = f"SET {_MARK_PATH} = :mark, #settled_at = :at ADD #eventual :delta"
_NOTHING_RECOUNTED: Final = "(attribute_not_exists(#counted_from) OR #counted_from <= :oldest)"
_SETTLE_CONDITION: Final = f"{_COUNTER_EXISTS} AND ({_SHARD_IS_NEW} OR {_NOTHING_COUNTED_YET}) AND {_NOTHING_RECOUNTED}"
_SETTLE_NAMES: Final = {
    "#pk": PK,
    "#eventual": EVENTUAL,
    "#settled_at": SETTLED_AT,
    "#marks": MARKS,
    "#sequence": MARK_SEQUENCE,
    "#counted_from": COUNTED_FROM,
}


class Boto3SettlementStore:
    """Settles counters in a DynamoDB table.

    The client blocks, so each call runs in a thread; boto3's clients may be shared between threads.
    """

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    async def settle(self, key: CounterKey, settlement: Settlement) -> Settled | Unsettled:
        """See ``SettlementStore``."""
        return await asyncio.to_thread(self._settle, key, settlement)

    async def prune_marks(self, key: CounterKey, shards: Sequence[str], older_than_ms: int) -> None:
        """See ``SettlementStore``."""
        await asyncio.to_thread(self._prune_marks, key, shards, older_than_ms)

    def _settle(self, key: CounterKey, settlement: Settlement) -> Settled | Unsettled:
        try:
            answer = self._client.update_item(
                TableName=self._table_name,
                Key=_key(key),
                UpdateExpression=_SETTLE_UPDATE,
                ConditionExpression=_SETTLE_CONDITION,
                ExpressionAttributeNames={**_SETTLE_NAMES, "#shard": settlement.shard},
                ExpressionAttributeValues={
                    ":mark": _encode(Mark(settlement.last, settlement.at_ms)),
                    ":number": {"S": "N"},
                    ":text": {"S": "S"},
                    ":first_number": _number(min(settlement.first, _TEXT_FROM)),
                    ":first_text": _text(settlement.first),
                    ":delta": _number(settlement.delta),
                    ":oldest": _number(settlement.oldest_ms),
                    ":at": _number(settlement.at_ms),
                },
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            # The item as it was comes with the error, which boto3's types do not know.
            item = cast("Mapping[str, AttributeValueTypeDef] | None", error.response.get("Item"))
            return _refusal(item, settlement.shard)
        except (BotoCoreError, ClientError) as error:
            if _code(error) == _CANNOT_BE_UPDATED and self._is_damaged(key):
                return Unsettled(None, is_damaged=True)
            raise _store_error(error) from error
        return Settled(_marks(answer["Attributes"]))

    def _is_damaged(self, key: CounterKey) -> bool:
        """Tell whether nothing can be added to a counter because of what stands in it."""
        try:
            item = self._client.get_item(TableName=self._table_name, Key=_key(key), ConsistentRead=True).get("Item")
        except (BotoCoreError, ClientError) as error:
            raise _store_error(error) from error
        return item is not None and ("M" not in item.get(MARKS, {}) or not _can_be_added_to(item))

    def _prune_marks(self, key: CounterKey, shards: Sequence[str], older_than_ms: int) -> None:
        names = {f"#shard{index}": shard for index, shard in enumerate(shards)}
        paths = [f"#marks.{name}" for name in names]
        try:
            self._client.update_item(
                TableName=self._table_name,
                Key=_key(key),
                UpdateExpression="REMOVE " + ", ".join(paths),
                # A missing mark compares as false, so this also refuses when the counter is gone.
                ConditionExpression=" AND ".join(f"{path}.#at < :older_than" for path in paths),
                ExpressionAttributeNames={"#marks": MARKS, "#at": MARK_AT, **names},
                ExpressionAttributeValues={":older_than": _number(older_than_ms)},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            # A shard spoke again, or another invocation was faster. What is still old goes with a later settlement.
            return
        except (BotoCoreError, ClientError) as error:
            raise _store_error(error) from error


def _key(key: CounterKey) -> "dict[str, AttributeValueTypeDef]":
    primary = exact_key(key)
    return {PK: {"S": primary.pk}, SK: {"S": primary.sk}}


def _number(value: int) -> "AttributeValueTypeDef":
    """Return a DynamoDB number, which is exact to 38 digits."""
    return {"N": str(value)}


def _text(sequence: int) -> "AttributeValueTypeDef":
    """Return a sequence number as text that compares as the number does: all of one width."""
    return {"S": f"{sequence:0{SEQUENCE_DIGITS_MAX}}"}


def _encode(mark: Mark) -> "AttributeValueTypeDef":
    sequence = _number(mark.sequence) if mark.sequence < _TEXT_FROM else _text(mark.sequence)
    return {"M": {MARK_SEQUENCE: sequence, MARK_AT: _number(mark.at_ms)}}


def _marks(item: "Mapping[str, AttributeValueTypeDef]") -> dict[str, Mark]:
    """Return an item's readable marks by shard."""
    found = {shard: _decode(value) for shard, value in item.get(MARKS, {}).get("M", {}).items()}
    return {shard: mark for shard, mark in found.items() if mark is not None}


def _decode(value: "AttributeValueTypeDef") -> Mark | None:
    """Return a mark; None when it cannot be read."""
    mark = value.get("M", {})
    sequence = mark.get(MARK_SEQUENCE, {})
    text = sequence.get("S", "")
    # Not ``whole_number``: it has more digits than a count may have. Text of another width would not compare.
    digits = sequence.get("N") or (text if len(text) == SEQUENCE_DIGITS_MAX else "")
    at_ms = whole_number(mark.get(MARK_AT, {}).get("N"))
    return Mark(int(digits), at_ms) if digits.isascii() and digits.isdigit() and at_ms is not None else None


def _can_be_added_to(item: "Mapping[str, AttributeValueTypeDef]") -> bool:
    """Tell whether an item's ``eventual`` is a number, and no huge one; a settlement makes one that is missing."""
    return EVENTUAL not in item or whole_number(item[EVENTUAL].get("N")) is not None


def _refusal(item: "Mapping[str, AttributeValueTypeDef] | None", shard: str) -> Unsettled:
    """Return why a settlement was refused, from the item that refused it."""
    if item is None:
        return Unsettled(None)
    marks = _marks(item)
    counted_from_ms = whole_number(item[COUNTED_FROM].get("N")) if COUNTED_FROM in item else None
    is_mark_lost = shard in item.get(MARKS, {}).get("M", {}) and shard not in marks
    if is_mark_lost or (COUNTED_FROM in item and counted_from_ms is None):
        return Unsettled(None, is_damaged=True)
    return Unsettled(marks, counted_from_ms)


def _code(error: BotoCoreError | ClientError) -> str:
    """Return DynamoDB's name for an error; empty when it is none of DynamoDB's."""
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else ""


def _store_error(error: BotoCoreError | ClientError) -> StoreError:
    """Return the core's name for a failure.

    Never ``NotAppliedError``: the SDK has repeated the call, and when the last try was throttled an earlier one may
    still have been applied.
    """
    if not isinstance(error, ClientError):
        return OutcomeUnknownError(str(error))
    answer = error.response
    kind = error_class(answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"])
    kind = StoreRejectedError if kind is StoreRejectedError else OutcomeUnknownError
    return kind(str(error), throttled_by=throttling_reasons(answer))
