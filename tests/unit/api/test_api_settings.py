"""Settings from the environment."""

import pytest

from api.serving.server import make_engine
from api.settings import ApiSettings, ApiSettingsError, load_settings
from counters.stores.memory import MemoryStore


def test_everything_has_a_default() -> None:
    assert load_settings({}) == ApiSettings(
        host="127.0.0.1",
        port=8000,
        table_name="distributed-counter",
        log_level="INFO",
        operation_deadline_ms=5000,
        heal_after_s=2100,
        own_ids_in_batches=True,
        services_slots=1,
        max_connections=3000,
    )


def test_every_variable_is_read() -> None:
    environ = {
        "HOST": "::",
        "PORT": "0",
        "TABLE_NAME": "counters.test",
        "LOG_LEVEL": "debug",
        "OPERATION_DEADLINE_MS": "250",
        "HEAL_AFTER_S": "15",
        "OWN_IDS_IN_BATCHES": "false",
        "SERVICES_SLOTS": "64",
        "MAX_CONNECTIONS": "100000",
    }
    assert load_settings(environ) == ApiSettings(
        host="::",
        port=0,
        table_name="counters.test",
        log_level="DEBUG",
        operation_deadline_ms=250,
        heal_after_s=15,
        own_ids_in_batches=False,
        services_slots=64,
        max_connections=100_000,
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HOST", ""),
        ("HOST", "two words"),
        ("PORT", ""),
        ("PORT", "http"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "8_000"),
        ("PORT", "8000.0"),
        ("PORT", "\N{ARABIC-INDIC DIGIT EIGHT}"),
        ("PORT", "9" * 5000),
        ("TABLE_NAME", ""),
        ("TABLE_NAME", "ab"),
        ("TABLE_NAME", "a" * 256),
        ("TABLE_NAME", "a table"),
        ("LOG_LEVEL", ""),
        ("LOG_LEVEL", "LOUD"),
        ("OPERATION_DEADLINE_MS", "99"),
        ("OPERATION_DEADLINE_MS", "5001"),
        ("OPERATION_DEADLINE_MS", "5s"),
        ("HEAL_AFTER_S", "14"),
        ("HEAL_AFTER_S", "86401"),
        ("HEAL_AFTER_S", "60.5"),
        ("OWN_IDS_IN_BATCHES", ""),
        ("OWN_IDS_IN_BATCHES", "True"),
        ("OWN_IDS_IN_BATCHES", "1"),
        ("SERVICES_SLOTS", "0"),
        ("SERVICES_SLOTS", "65"),
        ("MAX_CONNECTIONS", "0"),
        ("MAX_CONNECTIONS", "100001"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(ApiSettingsError) as caught:
        load_settings({variable: value})
    assert caught.value.variable == variable
    assert str(caught.value).startswith(f"{variable}: must be ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("deadline_ms", ["100", "5000"])
def test_every_process_heals_after_the_same_time_whatever_its_deadline(deadline_ms: str) -> None:
    settings = load_settings({"OPERATION_DEADLINE_MS": deadline_ms})
    # Longer than a signature is valid, three clocks differ and the longest operation of another process takes.
    assert make_engine(MemoryStore(), settings).healer.heal_after_s == 2100
