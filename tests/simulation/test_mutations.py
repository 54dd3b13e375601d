"""The simulation catches deliberate faults: whatever it does not catch here, it would not catch in earnest."""

from typing import Final

import msgspec
import pytest

from tests.simulation.mutations import MUTATIONS, Mutation, applied, seeds_to_catch
from tests.simulation.options import draw_options
from tests.simulation.shrink import Shrinker
from tests.simulation.simulation import TASK_FAILED, run

pytestmark = pytest.mark.long

_SEEDS_MAX: Final = 2000


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_fault_is_caught(mutation: Mutation) -> None:
    caught = seeds_to_catch(mutation, _SEEDS_MAX)
    assert caught is not None, f"not caught within {_SEEDS_MAX} seeds"
    # A fault that does not even run proves nothing.
    assert caught[1] != TASK_FAILED
    print(f"{mutation.name}: {caught[0]} seeds, {caught[1]}")  # noqa: T201 - the figure of this test


def test_a_fault_that_does_not_fit_the_source_is_an_error() -> None:
    stale = msgspec.structs.replace(MUTATIONS[0], changes=(("no such words", "any"),))
    with pytest.raises(ValueError, match="0 times"), applied(stale):
        pass


def test_a_failing_run_gets_shorter_and_breaks_the_same_promise() -> None:
    mutation = next(one for one in MUTATIONS if one.name == "reservation of a doubtful write given back")
    caught = seeds_to_catch(mutation, _SEEDS_MAX)
    assert caught
    with applied(mutation):
        options = draw_options(caught[0] - 1)
        before = run(options)
        after = run(Shrinker(options, before).shrink())
    assert after.rule == before.rule == caught[1]
    assert len(after.steps) < len(before.steps)
    assert len(after.places) < len(before.places)
