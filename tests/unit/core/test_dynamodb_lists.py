"""Lists of a ledger in which many pages are empty: emptied pages stay for a day."""

from collections.abc import Mapping
from typing import Any, Final

from counters.stores.dynamodb import DynamoClient, DynamoStore
from tests.support import factories

EMPTIED: Final = 20_000
ENTRIES: Final = 5
EVALUATED_MAX: Final = 8_000
"""Items of an emptied page's size that DynamoDB evaluates in one Query: 1 MB."""

KEY: Final = factories.counter_key()
PAGES: Final[list[dict[str, dict[str, Any]]]] = [
    {
        "PK": {"S": "slot"},
        "SK": {"S": f"own-{number:06}"},
        "entries": {"M": {} if number < EMPTIED else {"0": {"S": "billing"}}},
    }
    for number in range(EMPTIED + ENTRIES)
]


class OneSlot:
    """Answers Queries from the pages of one slot, and counts them."""

    def __init__(self) -> None:
        self.queries = 0

    async def send(self, *, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        assert action == "Query"
        self.queries += 1
        after = payload["ExpressionAttributeValues"].get(":after", {}).get("S", "")
        last = ">=" in payload["KeyConditionExpression"]
        later = [page for page in PAGES if page["SK"]["S"] > after or (last and page["SK"]["S"] == after)]
        answered = later[: min(payload["Limit"], EVALUATED_MAX)]
        return {"Items": answered} | ({"LastEvaluatedKey": {}} if len(answered) < len(later) else {})


async def test_emptied_pages_in_front_cost_few_queries() -> None:
    """A recount, a list or a deletion would not end within its time otherwise."""
    for limit in (1, 10, 1000):
        slot = OneSlot()
        store = DynamoStore(DynamoClient(slot.send), "table")
        entries, more = await store.list_entries(KEY, 0, limit, None)
        assert [entry.id for entry in entries] == [
            f"own-{EMPTIED + number:06}" for number in range(min(limit, ENTRIES))
        ]
        assert more == (limit < ENTRIES)
        assert slot.queries <= 20
