"""Dead letters: records that nobody can read, kept whole for a human, so that they do not hold up the shard."""

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING, Final, Protocol

from stream_lambda.records import Malformed

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BODY_BYTES_MAX: Final = 250_000
"""Size of one message's body. SQS takes 256 KiB with its attributes (newer queues more), while a record carries up to
two images of 400 KB each, so a large record is cut."""


class DeadLetters(Protocol):
    """Where malformed records go."""

    async def send(self, letter: Malformed, shard: str) -> None:
        """Keep a record with its full payload; when this returns, it is durable. Twice is possible, never is not."""


class DeadLetterQueue:
    """Dead letters in an SQS queue.

    A message's body is the record's JSON. A record that is larger than a message becomes several, in whose order the
    bodies add up to the JSON. The attributes ``reason`` and ``shard`` say what is wrong and where it came from,
    ``record_id`` (a hash of the JSON) joins the parts and reveals a record that was sent twice, and ``part`` and
    ``parts`` number the parts from 1.
    """

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    async def send(self, letter: Malformed, shard: str) -> None:
        """See ``DeadLetters``.

        Raises:
            ClientError: The queue refused.
            BotoCoreError: The queue could not be reached.
        """
        await asyncio.to_thread(self._send, letter, shard)

    def _send(self, letter: Malformed, shard: str) -> None:
        # Pure ASCII, so that a character is a byte and none is one that SQS does not take.
        text = json.dumps(letter.record, ensure_ascii=True, separators=(",", ":"))
        record_id = hashlib.sha256(text.encode()).hexdigest()
        bodies = [text[start : start + BODY_BYTES_MAX] for start in range(0, len(text), BODY_BYTES_MAX)]
        for part, body in enumerate(bodies, start=1):
            attributes = {
                "reason": letter.reason,
                "shard": shard,
                "record_id": record_id,
                "part": str(part),
                "parts": str(len(bodies)),
            }
            self._client.send_message(
                QueueUrl=self._queue_url,
                MessageBody=body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                },
            )
