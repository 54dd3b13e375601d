"""Load tests with Locust: ``./taskw load:locust``, or ``locust -f load/locust/locustfile.py --host http://…``.

Choose a scenario by the name of its class, by default ClassicUser.
"""

import math
from collections.abc import Iterator
from typing import Final

from load.locust.open_loop import LoadPlan, LoadRun, OpenLoopUser, register
from load.locust.options import LoadOptions

_SETTLED_WITHIN_S: Final = 30.0


class ClassicUser(OpenLoopUser):
    """A constant rate on one account that all share: each arrival creates a service and deletes it."""

    @classmethod
    def plan(cls, options: LoadOptions) -> LoadPlan:
        """Return what the scenario needs."""
        return LoadPlan(options.rate)

    def serve(self, due_s: float) -> None:
        """Create, then delete."""
        account_id = self.current.choose()
        service_id = self.create(account_id, due_s)
        if service_id is not None:
            self.delete(account_id, service_id)


class ZipfUser(ClassicUser):
    """The same on many accounts, of which few get most."""

    @classmethod
    def plan(cls, options: LoadOptions) -> LoadPlan:
        """Return what the scenario needs."""
        return LoadPlan(options.rate, accounts=options.accounts)


class BurstUser(OpenLoopUser):
    """More creates than the limit allows, all due at once; afterwards exactly the limit must be there."""

    # The service's deadline for each operation.
    p99_ms_max = 5000.0

    @classmethod
    def plan(cls, options: LoadOptions) -> LoadPlan:
        """Return what the scenario needs."""
        return LoadPlan(math.inf, options.burst, limit=options.limit)

    def serve(self, due_s: float) -> None:
        """Create; at the limit that is refused."""
        self.create(self.current.choose(), due_s, may_be_refused=True)

    @classmethod
    def check(cls, run: LoadRun) -> Iterator[str]:
        """Yield what is not exactly the limit: creates that succeeded, the counter, and soon the exact counter."""
        limit = run.plan.limit
        if run.created != limit:
            yield f"{run.created} creates succeeded where the limit is {limit}"
        counts = run.accounts.settle(run.account_ids[0], _SETTLED_WITHIN_S)
        if counts.value != limit:
            yield f"the counter is {counts.value} where the limit is {limit}"
        if counts.eventual != limit:
            yield f"the exact counter is {counts.eventual} after {_SETTLED_WITHIN_S:.0f} s where the limit is {limit}"


register(ClassicUser)
