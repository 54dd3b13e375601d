"""The Lambda function's entry point: ``stream_lambda.handler.handle``."""

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from typing import Final, Protocol

from counters.logs import configure_logging
from stream_lambda.clients import connect_dynamodb, connect_sqs
from stream_lambda.consumer import Consumer
from stream_lambda.dead_letters import DeadLetterQueue
from stream_lambda.settings import LambdaSettings, LambdaSettingsError
from stream_lambda.store import Boto3SettlementStore


class Context(Protocol):
    """The part of Lambda's context object that is used here."""

    aws_request_id: str


def handle(event: Mapping[str, object], context: Context) -> dict[str, object]:
    """Settle one batch of the table's stream; an exception makes the mapping deliver the batch again.

    Returns:
        The empty state of a tumbling window, which the mapping wants back. The windows serve only to make AWS name
        the shard: what was counted is remembered in the counters, where no failure can separate it from the count.
    """
    asyncio.run(_consumer.consume(event, context.aws_request_id))
    return {"state": {}}


def _start() -> Consumer:
    """Build the consumer once, at cold start, or stop with one clear line."""
    configure_logging("INFO")
    # It tells at every cold start where its credentials come from.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        settings = LambdaSettings.from_environment(os.environ)
    except LambdaSettingsError as error:
        logging.getLogger(__name__).critical("misconfigured", extra={"fields": {"reason": str(error)}})
        raise SystemExit(1) from None
    return Consumer(
        settings,
        Boto3SettlementStore(connect_dynamodb(), settings.table_name),
        DeadLetterQueue(connect_sqs(), settings.dead_letter_queue_url),
        lambda: time.time_ns() // 1_000_000,
    )


_consumer: Final = _start()
