"""The skewed choice."""

from collections import Counter

import pytest

from load.locust.skew import ZipfChoice


def choose(exponent: float, seed: int = 0, number: int = 20_000) -> list[int]:
    choice = ZipfChoice(range(1, 101), exponent, seed)
    return [choice.choose() for _ in range(number)]


def test_a_seed_makes_the_same_choices() -> None:
    assert choose(1.0, seed=1) == choose(1.0, seed=1)
    assert choose(1.0, seed=1) != choose(1.0, seed=2)


def test_rank_k_gets_a_kth_of_the_first() -> None:
    counts = Counter(choose(1.0))
    harmonic = sum(1 / rank for rank in range(1, 101))
    for rank in (1, 2, 4, 8):
        assert counts[rank] == pytest.approx(20_000 / harmonic / rank, rel=0.1)


def test_without_an_exponent_nobody_is_preferred() -> None:
    counts = Counter(choose(0.0))
    assert len(counts) == 100
    assert max(counts.values()) < 2 * min(counts.values())
