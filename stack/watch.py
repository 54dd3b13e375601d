"""Whether the emulator that ``up`` uses is still there, and still has what was made in it."""

import time
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

from stack import aws
from stack.errors import StackError
from stack.provision import Provisioned

_GONE_S: Final = 5.0
"""How long nobody may listen there: connections are also refused for a moment when too many come at once."""

_SILENT_S: Final = 30.0
"""How long it may be too busy to answer."""

_NO_TABLE: Final = "ResourceNotFoundException"


class EmulatorWatch:
    """Asks an emulator for the table.

    Args:
        endpoint: Address of the emulator.
        provisioned: What was made in it.
    """

    def __init__(self, endpoint: str, provisioned: Provisioned) -> None:
        self._endpoint = endpoint
        self._provisioned = provisioned
        self._dynamodb = aws.dynamodb_client(endpoint, impatient=True)
        self._answered_s = time.monotonic()

    def require_there(self) -> None:
        """Make sure that the emulator answers and has the table; it may be silent for a while.

        Raises:
            StackError: It is gone, or was emptied.
        """
        try:
            self._dynamodb.describe_table(TableName=self._provisioned.table)
        except EndpointConnectionError:
            self._require_answer_within(_GONE_S)
        except ClientError as exc:
            if exc.response["Error"]["Code"] == _NO_TABLE:
                raise StackError(
                    f"The emulator at {self._endpoint} has lost the table {self._provisioned.table}: it was emptied or "
                    "started anew, and all counts are gone. Start again."
                ) from exc
            self._require_answer_within(_SILENT_S)
        except BotoCoreError:
            self._require_answer_within(_SILENT_S)
        else:
            self._answered_s = time.monotonic()

    def _require_answer_within(self, seconds: float) -> None:
        silent_s = time.monotonic() - self._answered_s
        if silent_s > seconds:
            raise StackError(
                f"The emulator at {self._endpoint} has not answered for {silent_s:.0f} s. Start again when it does."
            )
