"""What is compared."""

from typing import Final, NamedTuple

from load.compare.baselines.deployment import STREAM_FED
from load.server import ENGINE


class Strategy(NamedTuple):
    """A way to keep a limit.

    Attributes:
        name: What it is called.
        what: What it does, in one line.
        entries: What ``load.server`` is asked for.
        enforcement: Of the accounts; the baselines know only one kind.
    """

    name: str
    what: str
    entries: str
    enforcement: str = "strict"

    @property
    def stream_fed(self) -> bool:
        """Whether a Lambda keeps its exact count."""
        return self.entries in {ENGINE, STREAM_FED}


STRATEGIES: Final = (
    Strategy("transactional", "one TransactWriteItems a create: put, and count + 1 if count < limit", "transactional"),
    Strategy("conditional", "ADD to the counter if count < limit, then put", "conditional"),
    Strategy("read-check", "read account and counter, check, put, ADD to the counter", "read-check"),
    Strategy("sharded", "read account and 10 shards, check their sum, put, ADD to one shard", "sharded"),
    Strategy("eventual only", "read the counter, check, put; a Lambda counts from the stream", STREAM_FED),
    Strategy("hybrid", "this service: write, then count; batched", ENGINE, "hybrid"),
    Strategy("strict", "this service: reserve, then write; batched", ENGINE),
)
