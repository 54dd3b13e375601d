"""Dead letters keep a malformed record whole, however large it is."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from stream_lambda.dead_letters import DeadLetterQueue
from stream_lambda.records import Malformed
from tests.support import events

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

SQS_BYTES_MAX = 256 * 1024


class FakeQueue:
    """An SQS queue in process."""

    def __init__(self, client: "SQSClient") -> None:
        self.client = client
        self.url = client.create_queue(QueueName="dead-letters")["QueueUrl"]
        self.dead_letters = DeadLetterQueue(client, self.url)

    def receive(self) -> "list[MessageTypeDef]":
        """Take all messages off the queue."""
        messages: list[MessageTypeDef] = []
        while batch := self.client.receive_message(
            QueueUrl=self.url, MessageAttributeNames=["All"], MaxNumberOfMessages=10
        ).get("Messages"):
            messages += batch
        return messages


@pytest.fixture
def queue() -> Iterator[FakeQueue]:
    with mock_aws():
        client = boto3.client("sqs")
        yield FakeQueue(client)
        client.close()


def attributes_of(message: "MessageTypeDef") -> dict[str, str]:
    return {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}


async def test_letter_is_the_record_as_it_came_with_its_reason_and_shard(queue: FakeQueue) -> None:
    record = events.load("aws_window")["Records"][0]

    await queue.dead_letters.send(Malformed(record, "no whole amount from 1 to 1000000000"), "shard-1")

    (message,) = queue.receive()
    assert json.loads(message["Body"]) == record
    attributes = attributes_of(message)
    assert len(attributes.pop("record_id")) == 64
    assert attributes == {
        "reason": "no whole amount from 1 to 1000000000",
        "shard": "shard-1",
        "part": "1",
        "parts": "1",
    }


@pytest.mark.parametrize("character", ["x", "é", "\x00", "😀", "\ud800"])
async def test_record_larger_than_a_message_is_kept_in_parts(queue: FakeQueue, character: str) -> None:
    """Two images of an item of 400 KB, the largest that there is; in JSON a character may take many bytes."""
    text = character * 50_000
    record = {"dynamodb": {"OldImage": {"name": {"S": text * 4}}, "NewImage": {"name": {"S": text * 4}}}}

    await queue.dead_letters.send(Malformed(record, "no partition key"), "shard-1")

    messages = queue.receive()
    messages.sort(key=lambda message: int(attributes_of(message)["part"]))
    attributes = [attributes_of(message) for message in messages]
    assert [each["part"] for each in attributes] == [str(part) for part in range(1, len(messages) + 1)]
    assert {each["parts"] for each in attributes} == {str(len(messages))}
    assert len({each["record_id"] for each in attributes}) == 1
    assert max(_size_bytes(message) for message in messages) <= SQS_BYTES_MAX
    assert json.loads("".join(message["Body"] for message in messages)) == record


async def test_record_sent_again_can_be_told_from_another_one(queue: FakeQueue) -> None:
    one, other = (Malformed({"eventID": event_id}, "no partition key") for event_id in "ab")
    for letter in (one, other, one):
        await queue.dead_letters.send(letter, "shard-1")
    ids = [attributes_of(message)["record_id"] for message in queue.receive()]
    assert sorted(ids.count(each) for each in ids) == [1, 2, 2]


async def test_queue_that_refuses_is_an_error(queue: FakeQueue) -> None:
    queue.client.delete_queue(QueueUrl=queue.url)
    with pytest.raises(ClientError):
        await queue.dead_letters.send(Malformed({}, "no partition key"), "shard-1")


def _size_bytes(message: "MessageTypeDef") -> int:
    """Return what SQS counts: the body, and each attribute's name, type and value."""
    attributes = message["MessageAttributes"].items()
    texts = [text for name, value in attributes for text in (name, value["DataType"], value["StringValue"])]
    return sum(len(text.encode()) for text in [message["Body"], *texts])
