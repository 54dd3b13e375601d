"""Heals the drifted counters of all accounts, for a scheduler to run: ``python -m api.sweep [CURSOR]``.

A damaged counter, one that somebody stored by hand so that it cannot be read, is named in an event ``counter.damaged``;
it ends no sweep and changes no exit code.

It takes the settings of the API, logs an event ``sweep.finished`` with its report and exits with 0; with 1 when the
database did not answer, with 2 when it cannot start with these settings or this cursor. A sweep is bounded: when one
meets its bounds, the next goes on where it stopped, and each logs its own event. Terraform makes metrics of them. After
a failure, the last ``next_cursor`` in the log says where to go on.

Of several that run at once, one sweeps; the others log an event ``sweep.skipped`` and exit with 0.
"""

import logging
import sys
from typing import Final

import msgspec

from api.serving.process import run
from api.settings import ApiSettings, ApiSettingsError
from counters.engine import Engine
from counters.errors import CounterError, InvalidInputError
from counters.healing.sweep import read_cursor

_FAILED: Final = 1

logger = logging.getLogger("api.sweep")


async def _sweep(engine: Engine, _settings: ApiSettings) -> None:
    cursor = sys.argv[1] if len(sys.argv) > 1 else None
    try:
        read_cursor(cursor)
    except InvalidInputError as error:
        raise ApiSettingsError("CURSOR", error.reason) from error
    try:
        async with engine.sweep_turn.take() as is_ours:
            if is_ours:
                await _sweep_all(engine, cursor)
            else:
                logger.info("sweep.skipped", extra={"fields": {"reason": "Another sweep is under way."}})
    except CounterError as error:
        logger.exception("sweep.failed", extra={"fields": {"reason": repr(error)}})
        sys.exit(_FAILED)


async def _sweep_all(engine: Engine, cursor: str | None) -> None:
    more = True
    while more:
        report = await engine.sweeper.sweep(cursor)
        logger.info("sweep.finished", extra={"fields": msgspec.structs.asdict(report)})
        cursor = report.next_cursor
        more = cursor is not None


if __name__ == "__main__":
    run(_sweep)
