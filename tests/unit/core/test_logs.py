"""Every event is one line of JSON."""

import json
import logging
from collections.abc import Iterator

import pytest

from counters.logs import configure_logging
from tests.support.process_logging import restored_logging

logger = logging.getLogger("tests.logs")


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Let each test set the process's logging up anew."""
    with restored_logging():
        yield


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_event_is_one_line_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    logger.info("settled", extra={"fields": {"counters": 3, "shard": "line\nbreak ∆"}})
    (line,) = lines(capsys)
    assert str(line.pop("time")).endswith("+00:00")
    assert line == {"level": "info", "event": "settled", "counters": 3, "shard": "line\nbreak ∆"}


def test_message_of_a_library_is_an_event_without_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    logger.warning("pool of %d is full", 10)
    assert lines(capsys)[0]["event"] == "pool of 10 is full"


def test_exception_is_part_of_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    try:
        [].pop()
    except IndexError:
        logger.exception("failed", extra={"fields": {"request_id": "7"}})
    (line,) = lines(capsys)
    assert (line["level"], line["request_id"]) == ("error", "7")
    assert str(line["traceback"]).splitlines()[-1] == "IndexError: pop from empty list"


def test_value_that_json_does_not_know_becomes_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    logger.info("odd", extra={"fields": {"error": LookupError("nothing there")}})
    assert lines(capsys)[0]["error"] == "nothing there"


def test_events_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("WARNING")
    logger.info("settled")
    assert lines(capsys) == []


def test_handler_that_was_there_before_does_not_write_the_event_a_second_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logging.getLogger().addHandler(logging.StreamHandler())
    configure_logging("INFO")
    logger.info("settled")
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    assert captured.err == ""


def test_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        configure_logging("loud")
