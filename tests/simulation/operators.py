"""People who make, rename and delete accounts and change their limits while everything else goes on."""

import asyncio
from functools import partial
from random import Random
from typing import Final

from counters.engine import Engine
from counters.errors import AccountNotFoundError
from counters.keys import CounterKey
from counters.model import Enforcement
from tests.simulation.world import InDoubtError, World
from tests.support.engines import DEADLINE_S

_ACTS: Final = 8
_TRIES: Final = 3
_ACCOUNTS_MAX: Final = 4
_PATIENCE_S: Final = (0.8, 8.0, 8.0)
_LIMITING: Final = {"limit": 10}
_RENAMING: Final = {"rename": 4}
_ENFORCING: Final = {"enforce": 4}
_ACCOUNTING: Final = {"make": 4, "delete": 4}


class Operator:
    """One operator; does one thing after the other until stopped."""

    def __init__(self, name: str, world: World) -> None:
        self._name = name
        self._world = world
        options = world.options
        self._random = Random(f"{options.seed}/{name}")
        self._weights = {
            **(_LIMITING if options.limits_change else {}),
            **(_RENAMING if options.renames else {}),
            **(_ACCOUNTING if options.accounts_change else {}),
            **(_ENFORCING if options.enforcement_changes else {}),
        }
        self._number = 0

    async def run(self) -> None:
        """Do a few things at random, about as fast as the callers of a burst."""
        random = self._random
        for _ in range(_ACTS if self._weights else 0):
            await asyncio.sleep(random.expovariate(1 / (4 * self._world.options.think_s)))
            kind = random.choices([*self._weights], [*self._weights.values()])[0]
            known = [key for key in self._world.keys if not self._world.deaths.is_doomed(key)]
            if kind == "make" and len(self._world.keys) < _ACCOUNTS_MAX:
                await self._make()
            elif kind == "delete" and len(known) > 1:
                await self.delete(random.choice(known))
            elif kind in {"limit", "rename"} and known:
                await self._set(kind, random.choice(known))
            elif kind == "enforce" and known:
                await self._enforce(random.choice(known))

    async def delete(self, key: CounterKey) -> None:
        """Delete an account, and ask again until it is answered or given up."""
        world = self._world
        if world.oracle.pending(key):
            world.coverage.count("account deleted while a create was under way")
        world.deaths.asked(key)
        for _ in range(10):
            process, why = world.fleet.pick(self._random), self._why()
            try:
                deletion = await world.ask(
                    self._name,
                    process,
                    f"delete_account {key.account_id}",
                    lambda engine: engine.accounts.delete(key.account_id),
                    why=why,
                    patience_s=4 * DEADLINE_S,
                    is_bounded=False,
                )
            except InDoubtError:
                await asyncio.sleep(self._random.uniform(0.0, 1.0))
                continue
            except AccountNotFoundError:
                pass
            else:
                if deletion.more:
                    continue
            world.coverage.count("account deleted")
            world.deaths.answered(key)
            return

    async def _make(self) -> None:
        world, options = self._world, self._world.options
        try:
            view = await world.ask(
                self._name,
                world.fleet.pick(self._random),
                "make_account",
                lambda engine: engine.accounts.create("ada", options.limit, options.enforcement),
                why=self._why(),
                patience_s=self._random.choice(_PATIENCE_S),
            )
        except InDoubtError:
            return
        world.coverage.count("account made")
        key = view.counter.key
        world.keys.append(key)
        world.deaths.is_made(key)

    async def _set(self, kind: str, key: CounterKey) -> None:
        """Set a limit or the name of an account; in doubt, set the same again."""
        world, random = self._world, self._random
        limit = random.choice(world.options.limits) if kind == "limit" else None
        for _ in range(_TRIES):
            why, process = self._why(), world.fleet.pick(random)
            name = why if limit is None else None
            what = "name" if limit is None else "limit"
            setting = world.changes.started(why, (what, key, None), why if limit is None else limit, process)
            try:
                await world.ask(
                    self._name,
                    process,
                    f"{kind} {key.account_id} {name or limit}",
                    partial(_update, key.account_id, name, limit),
                    why=why,
                    patience_s=random.choice(_PATIENCE_S),
                    on_end=setting.end,
                )
            except InDoubtError:
                await asyncio.sleep(random.uniform(0.0, 1.0))
                continue
            except AccountNotFoundError:
                world.deaths.not_found(key)
            else:
                world.coverage.count(f"{what} of an account set")
                world.changes.answered(setting)
            return

    async def _enforce(self, key: CounterKey) -> None:
        """Change how a limit is kept; strict comes only when a healing has counted what hybrid let in."""
        world, enforcement = self._world, self._random.choice((Enforcement.STRICT, Enforcement.HYBRID))
        try:
            await world.ask(
                self._name,
                world.fleet.pick(self._random),
                f"enforce {key.account_id} {enforcement}",
                lambda engine: engine.accounts.update(key.account_id, enforcement=enforcement),
                why=self._why(),
                patience_s=self._random.choice(_PATIENCE_S),
            )
        except InDoubtError:
            return
        except AccountNotFoundError:
            world.deaths.not_found(key)

    def _why(self) -> str:
        self._number += 1
        return f"{self._name}.{self._number}"


async def _update(account_id: str, name: str | None, limit: int | None, engine: Engine) -> None:
    await engine.accounts.update(account_id, username=name, limit=limit)
