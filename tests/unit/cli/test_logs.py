"""What the log looks like, and what never stands in it."""

import errno
import io
import json
import logging
import os
import resource
import signal
import warnings
from pathlib import Path

import pytest
import structlog

from openhands_sessions.cli import logs

SECRET = "open sesame"


def logged(style: str, level: str = "info") -> io.StringIO:
    out = io.StringIO()
    logs.configure(level, style, [SECRET], out)
    return out


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_is_a_constant_message_and_its_data() -> None:
    out = logged("json")
    structlog.get_logger("x").info("client cut", conversation_id="talk", cursor=7)
    [line] = lines(out)
    assert line.pop("timestamp")
    assert line == {"event": "client cut", "level": "info", "conversation_id": "talk", "cursor": 7}


def test_what_is_bound_to_a_task_stands_in_its_lines() -> None:
    out = logged("json")
    with structlog.contextvars.bound_contextvars(conversation_id="talk"):
        structlog.get_logger("x").info("one")
        logging.getLogger("some.library").warning("two")
    assert [line["conversation_id"] for line in lines(out)] == ["talk", "talk"]


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_secret_never_stands_in_the_log(style: str) -> None:
    out = logged(style)
    log = structlog.get_logger("x")
    log.warning("data", text=f"key={SECRET}", deep={"a": [SECRET]}, thing=ValueError(SECRET), token="sk-" + "a" * 20)
    logging.getLogger("some.library").error("failed with %s", SECRET)
    try:
        raise ValueError(SECRET)
    except ValueError:
        log.exception("failed")
        logging.getLogger("some.library").exception("failed")
    assert SECRET not in out.getvalue()
    assert "sk-aaaa" not in out.getvalue()
    assert out.getvalue().count("ValueError") >= 3


def test_bytes_that_are_no_text_can_be_logged() -> None:
    out = logged("json")
    structlog.get_logger("x").warning("named", name="a\udcff", deep=[{"\ud800": "\udfff"}])
    logging.getLogger("some.library").warning("named %s", "a\udcff")
    assert [(line.get("name"), line.get("deep")) for line in lines(out)] == [("a?", [{"?": "?"}]), (None, None)]
    assert lines(out)[1]["event"] == "named a?"


def test_libraries_are_heard_from_warnings_on() -> None:
    out = logged("json", "debug")
    library = logging.getLogger("some.library")
    library.info("chatter")
    library.warning("mind %s", "the gap")
    structlog.get_logger("x").debug("ours")
    assert [(line["event"], line.get("logger")) for line in lines(out)] == [
        ("mind the gap", "some.library"),
        ("ours", None),
    ]


def test_warnings_of_python_are_heard() -> None:
    out = logged("json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert "old" in out.getvalue()


def test_less_than_the_level_is_not_logged() -> None:
    out = logged("json", "error")
    structlog.get_logger("x").warning("quiet")
    assert out.getvalue() == ""


def test_the_console_has_one_readable_line() -> None:
    out = logged("console")
    structlog.get_logger("x").info("listening", port=3000)
    [line] = out.getvalue().splitlines()
    assert "listening" in line
    assert "port=3000" in line
    assert "\x1b" not in line


class FullDisk(io.StringIO):
    """A file on a disk that is full for a while."""

    full = True

    def write(self, text: str, /) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_log_that_cannot_be_written_fails_nothing_and_says_what_is_missing() -> None:
    out = FullDisk()
    logs.configure("info", "json", [], out)
    structlog.get_logger("x").info("one")
    logging.getLogger("some.library").warning("two")
    out.full = False
    structlog.get_logger("x").info("three")
    structlog.get_logger("x").info("four")
    assert [(line["event"], line.get("lines_lost")) for line in lines(out)] == [("three", 2), ("four", None)]


def test_a_log_whose_disk_is_full_says_exactly_what_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "log"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with file.open("w") as out:
        logs.configure("info", "json", [], out)
        structlog.get_logger("x").info("one")
        resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 10, before[1]))
        try:
            for _ in range(3):
                structlog.get_logger("x").info("two")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, ignored)
        structlog.get_logger("x").info("three")
    first, half, last = file.read_text().splitlines()
    assert (json.loads(first)["event"], len(half)) == ("one", 10)
    assert (json.loads(last)["event"], json.loads(last)["lines_lost"]) == ("three", 3)


def test_a_closed_pipe_behind_the_log_fails_nothing() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", buffering=1) as out:
        logs.configure("info", "json", [], out)
        structlog.get_logger("x").info("heard")
        os.close(reading)
        structlog.get_logger("x").info("not heard")
