"""The Lambda's writes to the counters: it settles what the table's stream tells it."""

import asyncio
from typing import Final

from counters import keys
from counters.keys import CounterKey
from load.model.assumptions import POLLS_PER_S
from load.model.table import ModelTable, ThrottledError

_PHASES: Final = 10
"""Shards are polled at different times."""


async def settle(table: ModelTable) -> None:
    """Settle for ever: for each slot of a ledger with new entries one write to its counter in each poll.

    Each slot is a shard of the stream. What is throttled is settled by a later poll.
    """
    while True:
        for phase in range(_PHASES):
            await asyncio.sleep(1 / POLLS_PER_S / _PHASES)
            for key, slot in [one for one in table.unsettled if one[1] % _PHASES == phase]:
                _settle_slot(table, key, slot)


def _settle_slot(table: ModelTable, key: CounterKey, slot: int) -> None:
    try:
        table.write(keys.counter_key(key))
    except ThrottledError:
        return
    table.usage.settle_units += 1.0
    del table.unsettled[key, slot]
