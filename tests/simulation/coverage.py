"""What the runs met: how often each state came about that a promise depends on, and each fault in it.

A simulation in which nothing ever happens keeps every promise. So each run counts what it met, ``./taskw simulate``
prints the sums, and a test fails when one of them is zero.
"""

from collections import Counter as Tally
from typing import Final

MET: Final = (
    "account deleted",
    "account deleted while a create was under way",
    "account made",
    "census begun in the place of a lost one",
    "census ended",
    "census of a quiet counter",
    "create of an amount above one",
    "counter in use cut",
    "counter in use healed",
    "create of an id that is under way",
    "create deferred to the outcome of a flush",
    "creates together",
    "creates of one id together",
    "emptied page replaced",
    "entry renamed",
    "flush of more than a call",
    "healing lowered best_effort",
    "healing raised best_effort",
    "id used again after its delete",
    "limit changed while a flush was under way",
    "marks pruned",
    "page emptied",
    "page answered a census",
    "page of several entries",
    "page refused, as an earlier try of it was stored",
    "pause with a delete under way",
    "pause with a flush under way",
    "pause with a release waiting",
    "pause with a lease",
    "pause with the flush of a lease under way",
    "pause with entries being written",
    "processes with several deadlines",
    "limit of an account set",
    "name of an account set",
    "record of a page that was empty at the census",
    "release of before the cut",
    "release of an earlier epoch dropped by its lane",
    "release of an earlier epoch refused by the store",
    "replay answered",
    "lease given back",
    "lease of default settings taken",
    "lease of default settings used",
    "lease outlived a pause",
    "lease taken",
    "lease used",
    "settlement refused, as a census began or ended",
    "tightening ended",
)
"""What every suite has to meet; faults of calls come on top, by the method that they struck."""


class Coverage:
    """Counts what one run met.

    Attributes:
        met: How often, by name.
        is_ahead: Whether the flush that was just decided on reserves for a lease as well.
    """

    def __init__(self) -> None:
        self.met: Tally[str] = Tally()
        self.is_ahead = False

    @property
    def released_too_late(self) -> int:
        """How many releases came after a healing, and were dropped."""
        by_lane, by_store = "dropped by its lane", "refused by the store"
        return sum(self.met[f"release of an earlier epoch {who}"] for who in (by_lane, by_store))

    def takes_ahead(self) -> bool:
        """Tell whether the flush that is being sent reserves for a lease as well."""
        is_ahead, self.is_ahead = self.is_ahead, False
        return is_ahead

    def count(self, name: str) -> None:
        """Count something that was met."""
        self.met[name] += 1
