from __future__ import annotations

import io
import json
import re

import pytest
import structlog

from mooring.core import log
from mooring.core.lines import Lines

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
FIELDS = {"device": "vcan0", "count": 3, "none": None, "text": "two words", "share": 1.5}


@pytest.mark.parametrize("level", ["info", "warning", "error"])
def test_a_line_looks_as_the_log_of_all_others(
    level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = structlog.get_config()
    try:
        log.set_up()
        getattr(structlog.get_logger(), level)("an event", **FIELDS)
    finally:
        structlog.configure(**before)
    getattr(Lines(), level)("an event", **FIELDS)
    theirs, ours = capsys.readouterr().err.splitlines()
    assert STAMP.sub("", theirs) == STAMP.sub("", ours)
    assert STAMP.match(ours)


def test_a_json_line_has_the_fields_of_the_log_of_all_others() -> None:
    stream = io.StringIO()
    Lines("info", "json", stream).warning("an event", device="vcan0", text="a\nb")
    told = json.loads(stream.getvalue())
    assert STAMP.fullmatch(told.pop("timestamp"))
    assert told == {"event": "an event", "level": "warning", "device": "vcan0", "text": "a\nb"}


def test_what_is_below_the_level_is_not_written() -> None:
    stream = io.StringIO()
    Lines("warning", stream=stream).info("an event")
    assert stream.getvalue() == ""


def test_a_stream_whose_reader_has_gone_stops_nothing() -> None:
    stream = io.StringIO()
    stream.close()
    Lines(stream=stream).error("an event")


def test_an_error_is_told_with_where_it_was_raised(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise KeyError("surprise")
    except KeyError as error:
        before = structlog.get_config()
        try:
            log.set_up()
            structlog.get_logger().error("an event", exc_info=error, device="vcan0")
        finally:
            structlog.configure(**before)
        Lines().error("an event", exc_info=error, device="vcan0")
        stream = io.StringIO()
        Lines("info", "json", stream).error("an event", exc_info=error)
    lines = capsys.readouterr().err.splitlines()
    theirs, ours = lines[: len(lines) // 2], lines[len(lines) // 2 :]
    assert STAMP.sub("", theirs[0]) == STAMP.sub("", ours[0])
    assert theirs[1:] == ours[1:]
    assert "in test_an_error_is_told_with_where_it_was_raised" in ours[2]
    assert json.loads(stream.getvalue())["exception"].splitlines() == ours[1:]
