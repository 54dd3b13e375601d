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
    CENSUS,
    CENSUS_ANSWERS,
    CENSUS_ASKED_AT,
    CENSUS_PAGES,
    CENSUS_SEEN_AT,
    CENSUS_TOTAL,
    EVENTUAL,
    LAST_CENSUS,
    LAST_CENSUS_AT,
    MARK_AT,
    MARK_SEQUENCE,
    MARKS,
    PK,
    SETTLED_AT,
    SK,
    CounterKey,
    exact_key,
)
from counters.settlement import SEQUENCE_DIGITS_MAX, Censuses, Mark, Settled, Settlement, Unsettled
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
_COUNT_FOR_CENSUS: Final = ", #census_total :census_delta, #census_answers :census_answers"
_SETTLE_CONDITION: Final = f"{_COUNTER_EXISTS} AND ({_SHARD_IS_NEW} OR {_NOTHING_COUNTED_YET})"
_SETTLE_NAMES: Final = {
    "#pk": PK,
    "#eventual": EVENTUAL,
    "#settled_at": SETTLED_AT,
    "#marks": MARKS,
    "#sequence": MARK_SEQUENCE,
    "#census": CENSUS,
    "#last_census": LAST_CENSUS,
}
_CENSUS_NAMES: Final = {"#census_total": CENSUS_TOTAL, "#census_answers": CENSUS_ANSWERS}

_LINES: Final = (CENSUS, LAST_CENSUS)

_END_CENSUS: Final = (
    "SET #eventual = #census_total, #last_census = :line, #last_census_at = :at"
    " REMOVE #census, #census_seen_at, #census_asked_at, #census_pages, #census_total, #census_answers"
)
_IS_ANSWERED: Final = "#census = :line AND #census_pages = #census_answers"
_END_CENSUS_NAMES: Final = {
    "#eventual": EVENTUAL,
    "#census": CENSUS,
    "#census_seen_at": CENSUS_SEEN_AT,
    "#census_asked_at": CENSUS_ASKED_AT,
    "#census_pages": CENSUS_PAGES,
    "#last_census": LAST_CENSUS,
    "#last_census_at": LAST_CENSUS_AT,
    **_CENSUS_NAMES,
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

    async def end_census(self, key: CounterKey, line: int, at_ms: int) -> bool:
        """See ``SettlementStore``."""
        return await asyncio.to_thread(self._end_census, key, line, at_ms)

    async def prune_marks(self, key: CounterKey, shards: Sequence[str], older_than_ms: int) -> None:
        """See ``SettlementStore``."""
        await asyncio.to_thread(self._prune_marks, key, shards, older_than_ms)

    def _settle(self, key: CounterKey, settlement: Settlement) -> Settled | Unsettled:
        update, condition = _SETTLE_UPDATE, _SETTLE_CONDITION
        names = {**_SETTLE_NAMES, "#shard": settlement.shard}
        values: dict[str, AttributeValueTypeDef] = {
            ":mark": _encode(Mark(settlement.last, settlement.at_ms)),
            ":number": {"S": "N"},
            ":text": {"S": "S"},
            ":first_number": _number(min(settlement.first, _TEXT_FROM)),
            ":first_text": _text(settlement.first),
            ":delta": _number(settlement.delta),
            ":at": _number(settlement.at_ms),
        }
        for attribute, line in (("census", settlement.censuses.line), ("last_census", settlement.censuses.last)):
            if line is None:
                condition += f" AND attribute_not_exists(#{attribute})"
            else:
                condition += f" AND #{attribute} = :{attribute}"
                values[f":{attribute}"] = _number(line)
        if settlement.censuses.line is not None:
            update += _COUNT_FOR_CENSUS
            names |= _CENSUS_NAMES
            values[":census_delta"] = _number(settlement.census_delta)
            values[":census_answers"] = _number(settlement.census_answers)
        try:
            answer = self._client.update_item(
                TableName=self._table_name,
                Key=_key(key),
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
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
        item = answer["Attributes"]
        is_answered = CENSUS_PAGES in item and item[CENSUS_PAGES] == item.get(CENSUS_ANSWERS)
        return Settled(_marks(item), is_answered)

    def _end_census(self, key: CounterKey, line: int, at_ms: int) -> bool:
        try:
            self._client.update_item(
                TableName=self._table_name,
                Key=_key(key),
                UpdateExpression=_END_CENSUS,
                ConditionExpression=_IS_ANSWERED,
                ExpressionAttributeNames=_END_CENSUS_NAMES,
                ExpressionAttributeValues={":line": _number(line), ":at": _number(at_ms)},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            # The API was faster; or this is a repeat of the SDK, and the first try did it.
            return False
        except (BotoCoreError, ClientError) as error:
            raise _store_error(error) from error
        return True

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
    """Tell whether an item's sums are numbers, and no huge ones; a settlement makes one that is missing."""
    sums = (item.get(attribute) for attribute in (EVENTUAL, CENSUS_TOTAL, CENSUS_ANSWERS))
    return all(value is None or whole_number(value.get("N")) is not None for value in sums)


def _refusal(item: "Mapping[str, AttributeValueTypeDef] | None", shard: str) -> Unsettled:
    """Return why a settlement was refused, from the item that refused it."""
    if item is None:
        return Unsettled(None)
    marks = _marks(item)
    lines = {attribute: whole_number(item[attribute].get("N")) for attribute in _LINES if attribute in item}
    is_mark_lost = shard in item.get(MARKS, {}).get("M", {}) and shard not in marks
    if is_mark_lost or None in lines.values():
        return Unsettled(None, is_damaged=True)
    return Unsettled(marks, Censuses(lines.get(CENSUS), lines.get(LAST_CENSUS)))


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
