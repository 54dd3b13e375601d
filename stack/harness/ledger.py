"""The table behind the service, read without any of the service's code but the names in it."""

from typing import NamedTuple

from counters import keys
from counters.keys import SERVICES, CounterKey
from stack import aws


class Counters(NamedTuple):
    """Both counters of an account's services.

    Attributes:
        best_effort: Right now.
        eventual: Exact, a moment late.
    """

    best_effort: int
    eventual: int


class TableReader(NamedTuple):
    """A table, for checks from outside.

    Attributes:
        endpoint: Address of what holds it; not of an injector of faults.
        name: Its name.
    """

    endpoint: str
    name: str

    def counters(self, account_id: str) -> Counters:
        """Return an account's counters."""
        key = keys.counter_key(CounterKey(account_id, SERVICES))
        answer = aws.dynamodb_client(self.endpoint).get_item(
            TableName=self.name, Key={keys.PK: {"S": key.pk}, keys.SK: {"S": key.sk}}, ConsistentRead=True
        )
        return Counters(int(answer["Item"][keys.BEST_EFFORT]["N"]), int(answer["Item"][keys.EVENTUAL]["N"]))

    def entries(self, account_id: str) -> set[str]:
        """Return the ids in an account's ledger of one slot."""
        pages = (
            aws.dynamodb_client(self.endpoint)
            .get_paginator("query")
            .paginate(
                TableName=self.name,
                KeyConditionExpression="PK = :pk",
                ExpressionAttributeValues={":pk": {"S": keys.entries_pk(CounterKey(account_id, SERVICES), 0)}},
                ProjectionExpression="SK",
                ConsistentRead=True,
            )
        )
        return {item[keys.SK]["S"] for page in pages for item in page["Items"]}
