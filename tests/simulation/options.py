"""What one run is like: drawn from its seed, and made smaller by the shrinker."""

import math
from random import Random
from typing import Any, Final

import msgspec

from counters.lanes.lease import LeaseSettings
from counters.model import Enforcement
from tests.simulation.faults import PAUSES, WRITE_FAULTS, NetworkFault
from tests.support.engines import DEADLINE_S

_CALLS_SHARES: Final = (0.03, 0.1, 0.3)
"""Share of calls to the store that go wrong in one way or another."""
_OTHER_RATES: Final = (0.05, 0.2)
_STRIKES_SHARE: Final = 0.1
"""How much rarer a process is struck than a delivery of the stream: it makes a hundred calls in a run."""
_PAUSES_S: Final = (0.3, 3.0, 8.0, 20.0, 60.0)
_LONG_PAUSES_S: Final = (3.0, 22.0, 28.0, 40.0)
_PATIENCE_S: Final = (0.8, 2.0, 8.0, 8.0)
_LULLS_S: Final = (1.0, 7.0, 14.0, 17.0, 25.0, 1000.0)
_A_DAY_AND_A_HALF_S: Final = 130_000.0
"""Longer than the mark of a silent shard is kept."""
_IDS_SHARE: Final = 0.18
_BUSY_SHARE: Final = 0.16
_CENSUS_SHARE: Final = 0.12
_LARGE_LEASE: Final = LeaseSettings(lasts_s=1.0, size_min=1, part_of_room=2)
"""So large that a run's few creates use it, and that it matters near the limit."""
_LONG_LEASE: Final = LeaseSettings(lasts_s=4.0, size_min=1, part_of_room=2)
"""So long that it would outlive a lull if it lasted for longer than it says."""
_STREAM: Final = {
    NetworkFault.SPLIT,
    NetworkFault.REDELIVERY,
    NetworkFault.LAG,
    NetworkFault.SETTLER_CRASH,
    NetworkFault.BATCH_LOST,
}
_AT_LEASES: Final = frozenset({"change_counter for a lease"})
_LEASEED: Final = {
    "enforcement": Enforcement.STRICT,
    "lease": _LARGE_LEASE,
    "limit": 300,
    "counters": 1,
    "processes": 2,
    "clients": 6,
    "steps": 12,
    "think_s": 0.05,
    "amounts": (1,),
    "own_share": 0.0,
    "delete_share": 0.02,
    "limits_change": False,
    "accounts_change": False,
    "enforcement_changes": False,
    "patience_s": (0.8,),
    "batch_max": 1000,
    "queue_max": 10_000,
    "lulls_s": (20.0, 7.0),
    "pauses_s": (22.0, 24.0, 40.0),
}
"""Hardly anything but creates, so that there are leases, and nothing that gives them back before they do harm."""
_AT_RECOUNTS: Final = frozenset({"list_entries", "delete_entries"})
_RECOUNTED: Final = {
    "rates": {NetworkFault.PAUSE: 0.5, NetworkFault.CRASH: 0.2},
    "pauses_s": (1.0, 3.0, 3.0, 22.0),
    "pauses_max": 12,
    "clients": 2,
    "steps": 5,
    "think_s": 0.5,
    "delete_share": 0.8,
    "limit": 20,
    "limits_change": False,
    "accounts_change": False,
    "enforcement_changes": False,
    "lulls_s": (18.0, 18.0, 18.0),
    "reconcile_share": 0.8,
}
"""Deletes while somebody recounts: the recount may have read what is gone, and the stream have told of it already."""
_RENAMED: Final = {"renames": 200, "limit": 1, "amounts": (1,), "delete_share": 0.05, "clients": 2}
"""One entry that two callers rename, so that a late try of one of them finds the name of the other."""
_STRUCK: Final = (
    _AT_LEASES,
    _AT_LEASES,
    _AT_RECOUNTS,
    frozenset({"change_counter", "change_counter for a lease"}),
    frozenset({"insert_page"}),
    frozenset({"delete_entries", "change_counter", "change_counter for a lease"}),
    _AT_RECOUNTS,
    frozenset({"set_terms", "rename_entry", "rename_account", "create_account"}),
    frozenset[str](),
)
"""At whose calls processes are struck, in runs that are about that; at all calls where nothing is named."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a run.

    Attributes:
        seed: Source of all randomness.
        enforcement: Of the counters.
        slots: Partitions of each ledger.
        limit: Of each counter at the start.
        limits: What limits are changed to.
        amounts: Of the entries that callers make.
        counters: How many.
        processes: How many API processes at a time.
        deadlines_s: Deadlines that the processes have, each one of them.
        clients: How many callers.
        steps: Operations of each caller in each burst.
        lulls_s: What follows each burst: how long nobody calls, in seconds.
        looks: How often a sweep looks in each lull.
        looks_s: From when to when, but for two looks at any time: counters become quiet then, in seconds.
        think_s: A caller's longest pause between two operations.
        latency_s: Mean time of a request's way to the store, and back.
        batch_max: Most creates in one flush.
        patience_s: How long callers wait for an answer.
        queue_max: Most creates under way in one lane.
        sight_lasts_s: Greatest age of a sight by which a hybrid create is let in.
        own_share: Share of creates under the caller's own id.
        reuse_share: Share of those that use an id again that was deleted.
        delete_share: Share of deletes among operations.
        crowd: How many entries a caller creates at once now and then; zero for never.
        together: Whether callers ask two processes at once for one create now and then.
        operators: How many people change limits, names and accounts.
        limits_change: Whether they change limits.
        renames: How often callers rename entries, beside 100 for what they always do. Unless it is zero, operators
            rename accounts.
        accounts_change: Whether they make and delete accounts.
        enforcement_changes: Whether they change how limits are kept.
        lease: Bounds of what the lanes reserve ahead.
        rates: How often each kind of fault happens where it can; kinds that are absent never do.
        strikes_share: How often a process is struck at a call, beside the usual rate.
        struck: At whose calls; at all when none is named.
        pauses_s: How long it stands still.
        pauses_max: Most times that processes stand still.
        storms_s: How long a storm lasts.
        patrol_s: How often a sweep looks while callers call, in seconds; infinity for never.
        reconcile_share: How often an operator resets ``eventual`` after a look of a sweep.
        faults_left_out: Places where no fault is to happen.
        operations_left_out: Operations that are not to happen.
    """

    seed: int
    enforcement: Enforcement
    slots: int
    limit: int
    limits: tuple[int, ...]
    amounts: tuple[int, ...]
    counters: int
    processes: int
    deadlines_s: tuple[float, ...]
    clients: int
    steps: int
    lulls_s: tuple[float, ...]
    looks: int
    looks_s: tuple[float, float]
    think_s: float
    latency_s: float
    batch_max: int
    patience_s: tuple[float, ...]
    queue_max: int
    sight_lasts_s: float
    own_share: float
    reuse_share: float
    delete_share: float
    crowd: int
    together: bool
    operators: int
    limits_change: bool
    renames: int
    accounts_change: bool
    enforcement_changes: bool
    lease: LeaseSettings
    rates: dict[NetworkFault, float]
    strikes_share: float = _STRIKES_SHARE
    struck: frozenset[str] = frozenset()
    pauses_s: tuple[float, ...] = _PAUSES_S
    pauses_max: int = 1000
    storms_s: tuple[float, ...] = (1.0, 4.5, 20.0)
    patrol_s: float = math.inf
    reconcile_share: float = 0.1
    faults_left_out: frozenset[str] = frozenset()
    operations_left_out: frozenset[str] = frozenset()

    @property
    def is_calm(self) -> bool:
        """Whether nothing goes wrong but a clock and the stream."""
        creates = self.clients * max(1, self.crowd)
        # A flush looks and writes, each there and back: all must end within the shortest deadline, a second.
        flushes_s = creates / self.batch_max * 8 * self.latency_s
        has_room = self.queue_max > creates and flushes_s < 1
        return not self.rates.keys() - _STREAM - {NetworkFault.SKEW} and has_room and not self.enforcement_changes

    @property
    def special(self) -> dict[str, int]:
        """How often callers do what they do in some runs only, beside 100 for what they always do."""
        weights = {"crowd": 8 * bool(self.crowd), "together": 25 * self.together, "rename": self.renames}
        return {kind: weight for kind, weight in weights.items() if weight}


def draw_options(seed: int) -> Options:
    """Draw the options of a run."""
    random = Random(f"{seed}/options")
    clients = random.choice([1, 2, 4, 6])
    bursts = random.choice([1, 2, 2, 3])
    lulls_s = [random.choice(_LULLS_S) for _ in range(bursts)]
    if random.random() < 0.06:
        lulls_s[0] = _A_DAY_AND_A_HALF_S
    limit = random.choice([1, 2, 5, 20])
    options = Options(
        seed=seed,
        enforcement=Enforcement.HYBRID if random.random() < 0.32 else Enforcement.STRICT,
        slots=random.choice([1, 1, 4]),
        limit=limit,
        limits=(0, 1, 3, 10, 30),
        amounts=random.choice([(1,), (1,), (1,), (1, 2, 3)]),
        counters=random.choice([1, 1, 2]),
        processes=random.choice([1, 2, 3]),
        deadlines_s=random.choice([(DEADLINE_S,), (DEADLINE_S,), (DEADLINE_S,), (DEADLINE_S, 1.0)]),
        clients=clients,
        steps=max(2, 40 // (clients * bursts)),
        lulls_s=tuple(lulls_s),
        looks=random.choice([2, 2, 2, 10]),
        looks_s=(10.0, 18.0),
        think_s=random.choice([0.005, 0.05, 0.5]),
        latency_s=random.choice([0.0005, 0.002, 0.02]),
        batch_max=random.choice([1, 3, 1000]),
        patience_s=_PATIENCE_S,
        queue_max=random.choice([2, 10_000, 10_000]),
        sight_lasts_s=random.choice([0.0, 0.1, 0.1]),
        own_share=random.choice([0.0, 0.3, 1.0]),
        reuse_share=random.choice([0.0, 0.4]),
        delete_share=random.choice([0.2, 0.45]),
        crowd=30 if random.random() < 0.06 else 0,
        together=random.random() < 0.15,
        operators=random.choice([1, 1, 2]),
        limits_change=random.random() < 0.3,
        renames=20 if random.random() < 0.2 else 0,
        accounts_change=random.random() < 0.3,
        enforcement_changes=random.random() < 0.2,
        rates=_draw_rates(random),
        lease=random.choice([LeaseSettings(), LeaseSettings(), _LARGE_LEASE, _LARGE_LEASE, _LONG_LEASE]),
    )
    if options.lease == _LONG_LEASE:
        # In a lull that is a little longer than the quiet it shows whether a lease is over in time.
        lulls = [random.choice([17.0, 20.0]) for _ in options.lulls_s]
        options = msgspec.structs.replace(options, lulls_s=(*lulls, 1.0), looks=10, looks_s=(14.5, 18.0))
    # Most runs are about everything a little; these are about one thing, and find what the others hardly would.
    about = random.random()
    if about < _IDS_SHARE:
        return msgspec.structs.replace(options, **_draw_ids(random, options))
    if about < _IDS_SHARE + _BUSY_SHARE:
        return msgspec.structs.replace(options, **_draw_busy(random, options))
    if about < _IDS_SHARE + _BUSY_SHARE + _CENSUS_SHARE:
        return msgspec.structs.replace(options, **_draw_censuses(random, options))
    themes = (_draw_stream, _draw_people, _draw_stillness, _draw_demand, _draw_edge)
    for theme, share in zip(themes, (0.14, 0.1, 0.36, 0.2, 0.23), strict=True):
        if random.random() < share:
            options = msgspec.structs.replace(options, **theme(random, options))
    return options


def _draw_demand(random: Random, options: Options) -> dict[str, Any]:
    """So much demand and room that lanes take a lease with default settings."""
    limit = random.choice([2000, 3000, 6000])
    return {
        "limit": limit,
        "limits": (0, limit // 2, limit, 2 * limit),
        "amounts": random.choice([(10, 25, 50), (5, 60), (25, 100)]),
        "lease": LeaseSettings(),
        "batch_max": 1000,
        "think_s": min(options.think_s, 0.05),
        # What is queued while a counter stops being strict is counted once more by whoever forgets that it is reserved.
        "enforcement_changes": options.enforcement_changes or random.random() < 0.2,
    }


def _draw_stillness(random: Random, options: Options) -> dict[str, Any]:
    """Processes that stand still often and for long, at calls of one kind perhaps, while others heal and go on."""
    kinds = [fault for fault in PAUSES if random.random() < 0.6] or [NetworkFault.PAUSE]
    beside = (NetworkFault.THROTTLED, NetworkFault.LAG, NetworkFault.CRASH, NetworkFault.DELAYED, NetworkFault.SKEW)
    rates = {fault: random.choice([0.03, 0.1, 0.3]) for fault in kinds}
    rates |= {fault: 0.03 for fault in beside if random.random() < 0.3}
    struck = random.choice(_STRUCK)
    return {
        "rates": rates,
        "struck": struck,
        "strikes_share": 1.0 if struck else 0.3,
        "pauses_s": _LONG_PAUSES_S,
        # Few, or everybody waits for those who stand still, and nobody heals meanwhile.
        "pauses_max": random.choice([1, 1, 2, 4]),
        "patience_s": random.choice([(0.8,), (0.8,), _PATIENCE_S]),
        "processes": max(2, options.processes),
        "clients": max(4, options.clients),
        "steps": 40 // (max(4, options.clients) * len(options.lulls_s)) + 1,
        "lulls_s": tuple(random.choice([7.0, 18.0, 20.0, 25.0]) for _ in options.lulls_s),
        "looks": 8,
        "delete_share": 0.2,
        "own_share": random.choice([0.0, 0.0, 0.3]),
        **(_LEASEED if struck == _AT_LEASES else {}),
        **(_RECOUNTED if struck == _AT_RECOUNTS else {}),
    }


def _draw_stream(random: Random, options: Options) -> dict[str, Any]:
    """Ledgers in several shards, whose records are delivered late, again, half or never, also after a long silence."""
    del options
    kinds = [fault for fault in _STREAM if random.random() < 0.7]
    return {
        "rates": dict.fromkeys([fault for fault in NetworkFault if fault in kinds], random.choice([0.1, 0.3])),
        "slots": 4,
        "lulls_s": tuple(random.choice([1.0, 17.0, 1000.0, _A_DAY_AND_A_HALF_S]) for _ in range(4)),
        "clients": 2,
        "steps": 5,
        "reconcile_share": random.choice([0.1, 0.5]),
    }


def _draw_people(random: Random, options: Options) -> dict[str, Any]:
    """Two people who change the same things while answers are lost and tries come late."""
    faults = (NetworkFault.ANSWER_LOST, NetworkFault.DELAYED, NetworkFault.REQUEST_LOST)
    return {
        "rates": {fault: random.choice([0.05, 0.15]) for fault in faults if random.random() < 0.8},
        "operators": 2,
        "counters": 1,
        "limits_change": True,
        "accounts_change": random.random() < 0.3,
        "clients": min(2, options.clients),
        **(_RENAMED if random.random() < 0.5 else {"renames": 0}),
        "steps": 5,
        "think_s": random.choice([0.05, 0.3]),
    }


def _draw_edge(random: Random, options: Options) -> dict[str, Any]:
    """Clocks that are off, requests as late as they may be and ledgers that take nothing for long: what bounds bear."""
    rates = {
        NetworkFault.SKEW: 1.0,
        NetworkFault.DELAYED: random.choice([0.1, 0.2, 0.3]),
        NetworkFault.STORM: random.choice([0.1, 0.3]),
    }
    # Nearly as long as an operation: what is written at the end of it is as late as it may be.
    return {
        "rates": rates,
        "processes": max(2, options.processes),
        "clients": min(2, options.clients),
        "steps": 2,
        "lulls_s": tuple(random.choice([1.0, 17.0, 17.0, 17.0]) for _ in range(9)),
        "looks": 30,
        "looks_s": random.choice([(1.0, 11.0), (1.0, 11.0), (5.0, 17.0)]),
        "patience_s": random.choice([(0.8,), (0.8,), _PATIENCE_S]),
        "own_share": random.choice([0.0, 0.3]),
        "storms_s": (4.5, 4.8),
        "lease": LeaseSettings(),
        "deadlines_s": (DEADLINE_S,),
    }


def _draw_ids(random: Random, options: Options) -> dict[str, Any]:
    """Creates under callers' own ids, two of each at once, whose processes stand still, and deletes right after."""
    faults = (NetworkFault.PAUSE, NetworkFault.PAUSE_LATER, NetworkFault.ANSWER_LOST, NetworkFault.DELAYED)
    return {
        "rates": {fault: random.choice([0.05, 0.15, 0.3]) for fault in faults if random.random() < 0.7},
        "struck": frozenset({"insert_page"}) if random.random() < 0.9 else frozenset[str](),
        "strikes_share": 1.0,
        "pauses_s": (1.0, 2.0, 3.0),
        "pauses_max": 4,
        "together": True,
        "own_share": 1.0,
        "reuse_share": 0.8,
        "delete_share": 0.3,
        "counters": 1,
        "processes": 2,
        "clients": max(2, options.clients),
        "lulls_s": (1.0,),
        "steps": 20,
        "think_s": min(options.think_s, 0.05),
        "patience_s": (0.8,),
    }


def _draw_busy(random: Random, options: Options) -> dict[str, Any]:
    """Counters that are never quiet, while sweeps heal them again and again."""
    clients = random.choice([3, 4, 6])
    # What is deleted while a recount reads matters only if its answers take long enough.
    slow = {NetworkFault.SLOW: 0.3} if random.random() < 0.7 else {}
    return {
        "rates": {kind: random.choice([0.02, 0.06]) for kind in WRITE_FAULTS if random.random() < 0.4}
        | slow
        | {kind: 0.05 for kind in (*PAUSES, NetworkFault.CRASH, NetworkFault.SKEW) if random.random() < 0.2},
        "enforcement": Enforcement.STRICT,
        "counters": 1,
        "clients": clients,
        "steps": 120 // clients,
        "think_s": random.choice([2.0, 4.0]),
        "lulls_s": (1.0,),
        "patrol_s": random.choice([1.0, 3.0, 8.0]),
        "delete_share": random.choice([0.3, 0.45, 0.6]),
        "limit": random.choice([3, 5, 20]),
        "amounts": options.amounts,
        "queue_max": 10_000,
        "processes": max(2, options.processes),
        "pauses_s": (3.0, 8.0, 22.0),
        "lease": random.choice([LeaseSettings(), _LARGE_LEASE, _LONG_LEASE]),
        "slots": random.choice([1, 1, 4]),
        "limits_change": random.random() < 0.2,
        "accounts_change": False,
        "enforcement_changes": random.random() < 0.15,
        "deadlines_s": (DEADLINE_S,),
    }


def _draw_censuses(random: Random, options: Options) -> dict[str, Any]:
    """Censuses by force, that callers come into, whose steps come late and whose askers stand still."""
    faults = random.choice([
        {NetworkFault.SLOW: 0.5},
        {NetworkFault.DELAYED: 0.3},
        {NetworkFault.PAUSE: 0.5, NetworkFault.SLOW: 0.2},
        {NetworkFault.PAUSE: 0.3, NetworkFault.LAG: 0.3, NetworkFault.BATCH_LOST: 0.1, NetworkFault.SPLIT: 0.1},
    ])  # fmt: skip
    return {
        "rates": faults,
        "enforcement": Enforcement.HYBRID if random.random() < 0.2 else Enforcement.STRICT,
        "struck": frozenset({"change_census", "raise_revision", "ask_page", "insert_page"}),
        "strikes_share": 1.0,
        "pauses_s": (0.3, 1.0, 3.0, 22.0),
        "pauses_max": 12,
        "counters": 1,
        "processes": 2,
        "clients": max(3, options.clients),
        "steps": random.choice([2, 5]),
        "think_s": random.choice([0.3, 4.0]),
        "delete_share": random.choice([0.2, 0.6]),
        "slots": random.choice([1, 4]),
        "limit": 20,
        "limits_change": False,
        "accounts_change": False,
        "enforcement_changes": False,
        "patience_s": (8.0,),
        "lulls_s": tuple(random.choice([16.0, 18.0]) for _ in range(5)),
        "looks": 6,
        "looks_s": (15.1, 18.0),
        "reconcile_share": 0.9,
        "deadlines_s": (DEADLINE_S,),
    }


def _draw_rates(random: Random) -> dict[NetworkFault, float]:
    """Most runs have some kinds of faults and not others: what hides behind frequent faults shows in rare ones."""
    share = random.choice([0.0, 0.2, 0.5, 1.0])
    kinds = [fault for fault in NetworkFault if random.random() < share]
    calls = [fault for fault in kinds if fault in WRITE_FAULTS]
    call_rate = random.choice(_CALLS_SHARES) / max(1, len(calls))
    other_rate = random.choice(_OTHER_RATES)
    rates = {fault: call_rate if fault in calls else other_rate for fault in kinds}
    if NetworkFault.STORM in rates:
        rates[NetworkFault.STORM] = 0.01
    return rates
