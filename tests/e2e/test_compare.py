"""The comparison, with as little work as shows that each strategy does all of it."""

import pytest

from load.compare.__main__ import compare
from load.compare.phases import Sizes
from load.compare.results import to_markdown
from load.compare.strategies import STRATEGIES

pytestmark = pytest.mark.long

SIZES = Sizes(rounds=1, seconds=0.5, processes=2, connections=8, limit=20, burst=40, churns=1, churned=10, outage_s=0.5)


def test_each_strategy_is_measured_in_full() -> None:
    comparison = compare(SIZES)

    results = {result.strategy: result for result in comparison.results}
    assert list(results) == [strategy.name for strategy in STRATEGIES]
    assert len(to_markdown(comparison).splitlines()) == 2 * len(STRATEGIES) + 3
    rounds = {name: result.rounds[0] for name, result in results.items()}
    for name, played in rounds.items():
        assert played.creates_per_s > 0, name
        assert played.errors == 0, name
        assert played.exact_after_s is not None, name
    # What each costs is a matter of its calls, not of this machine.
    billed = {name: (played.write_units_per_create, played.read_units_per_create) for name, played in rounds.items()}
    assert billed["transactional"] == (4, 0)
    assert billed["conditional"] == (2, 0)
    assert billed["read-check"] == (2, 2)
    assert billed["sharded"] == (2, 11)
    assert billed["eventual-only"] == (1, 0.5)
    assert 0 < billed["strict"][0] < 1
    fed = {name for name, played in rounds.items() if played.lambda_writes_per_create > 0}
    assert fed == {"eventual-only", "hybrid", "strict"}
    assert rounds["strict"].overshoot == rounds["transactional"].overshoot == rounds["conditional"].overshoot == 0
    served = {name: result.served_in_outage for name, result in results.items()}
    assert served["hybrid"] == served["eventual-only"] == 1
    assert {name for name, share in served.items() if share == 0} == {*served} - {"hybrid", "eventual-only"}
