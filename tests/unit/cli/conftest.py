"""A screen that a test can read, and the process's log as it was."""

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from openhands_sessions.cli import logs
from openhands_sessions.cli.screen import PlainScreen
from openhands_sessions.cli.transcript import Transcript


@pytest.fixture
def paper() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def screen(paper: io.StringIO) -> PlainScreen:
    return PlainScreen(paper, paper)


@pytest.fixture
def transcript(screen: PlainScreen) -> Transcript:
    return Transcript(screen)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Commands set up the log of the process: leave it as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logs.THEIR_LEVELS}
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
