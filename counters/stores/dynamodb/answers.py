"""What can be wrong with an answer of DynamoDB."""

from collections.abc import Mapping
from typing import Any

import aiohttp


class AnswerError(Exception):
    """DynamoDB, or something on the way to it, answered with an error.

    Attributes:
        status: The HTTP status.
        code: DynamoDB's name for the error; empty when the answer is not DynamoDB's.
        fields: All that the answer says.
    """

    def __init__(self, status: int, code: str, fields: Mapping[str, Any]) -> None:
        super().__init__(f"{code or 'error'} ({status}): {fields.get('message') or fields.get('Message') or ''}")
        self.status = status
        self.code = code
        self.fields = fields


class ConditionFailedError(AnswerError):
    """The condition of a write did not hold; ``fields["Item"]`` is what it was checked against, if that was asked."""


class DamagedAnswerError(Exception):
    """The answer is not what DynamoDB sent."""


class NoAnswerError(aiohttp.ClientError):
    """A call was sent, at least in part, and got no answer in its time."""


class NotSentError(NoAnswerError):
    """Nothing was sent that DynamoDB could have carried out."""
