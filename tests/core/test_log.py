from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from mooring.core import log

SECRET = "s3cr3t"


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    before, handlers = structlog.get_config(), logging.getLogger().handlers[:]
    yield
    structlog.configure(**before)
    logging.getLogger().handlers[:] = handlers


def fail(secret: str) -> None:
    headers = {"authorization": f"Bearer {secret}"}
    raise ValueError("it broke", len(headers))


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("library", [False, True])
def test_a_failure_is_logged_with_its_trace_and_without_what_the_variables_held(
    style, library, capsys
):
    log.set_up("info", style)
    try:
        fail(SECRET)
    except ValueError as error:
        if library:
            logging.getLogger("library").exception("turn_failed")
        else:
            structlog.get_logger("ours").error("turn_failed", exc_info=error)
    said = capsys.readouterr().err
    assert "it broke" in said
    assert "test_log.py" in said
    assert SECRET not in said


def test_each_json_line_is_an_event_with_its_fields_and_its_time_in_utc(capsys):
    log.set_up("info", "json")
    with structlog.contextvars.bound_contextvars(run="r"):
        structlog.get_logger("ours").info("look_ended", interfaces=4)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["interfaces"], line["run"]) == ("look_ended", 4, "r")
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")


def test_what_is_below_the_level_is_not_logged(capsys):
    log.set_up("warning", "text")
    structlog.get_logger("ours").info("quiet")
    structlog.get_logger("ours").warning("loud")
    said = capsys.readouterr().err
    assert "loud" in said
    assert "quiet" not in said
