"""The program's log: structured lines on standard error, with secrets masked."""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from openhands_sessions.core.masking import TextMasker, session_masker

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
THEIR_LEVELS = {
    "engineio.client": logging.CRITICAL,
    "engineio.server": logging.WARNING,
    "socketio.client": logging.CRITICAL,
    "socketio.server": logging.WARNING,
}
"""Loggers that write to standard error themselves unless they have a level. The clients only warn of ended connections,
which the gateway reports itself."""


class Masking:
    """A processor that masks secrets in every text of a line, the server's and those of the session that writes it, and
    replaces what UTF-8 cannot hold. A line that it cannot go through is left out, but for that it was there."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._masker = TextMasker(secrets)

    def __call__(self, logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
        try:
            return {self._text(key): self._masked(value) for key, value in line.items()}
        except Exception as error:  # a value that cannot be shown must not fail what is logged about
            left_out = "a line was left out: it could not be searched for secrets"
            return {"event": left_out, "level": method, "error": type(error).__name__}

    def _masked(self, value: Any) -> Any:
        match value:
            case str():
                return self._text(value)
            case None | bool() | int() | float():
                return value
            case Mapping():
                return {self._text(str(key)): self._masked(item) for key, item in value.items()}
            case list() | tuple() | set():
                return [self._masked(item) for item in value]
            case _:
                return self._text(repr(value))

    def _text(self, text: str) -> str:
        masker = session_masker.get()
        return _writable(self._masker.text(text if masker is None else masker.text(text)))


class LogFile:
    """Writes what it can: a full disk or a closed pipe must not fail what is logged about. Nothing waits in a buffer,
    so that it is known which lines are missing."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lost = 0
        self._cut = False
        """The last line that was written lacks its end."""

    def with_losses(self, logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
        """A processor: the next line says in `lines_lost` how many could not be written before it."""
        return {**line, "lines_lost": self._lost} if self._lost else line

    def write(self, text: str) -> None:
        try:
            self._put(text)
            self._lost = 0
        except OSError:
            self._lost += 1

    def flush(self) -> None:
        """Nothing waits."""

    def _put(self, text: str) -> None:
        """Raises OSError where not all of it could be written."""
        try:
            descriptor = self._file.fileno()
        except OSError:  # no file of the system
            self._file.write(text)
            return
        left = memoryview((f"\n{text}" if self._cut else text).encode("utf-8", "backslashreplace"))
        while left:
            count = os.write(descriptor, left)
            left = left[count:]
            self._cut = bool(left)


def _writable(text: str) -> str:
    """The text without lone surrogates, which stand for undecodable bytes."""
    return text.encode("utf-8", "replace").decode()


def configure(level: str, style: str, secrets: Sequence[str], out: TextIO | None = None) -> None:
    """Set the log up for this process: ours from `level` on, that of libraries from warnings on. `style` is `console`
    or `json`."""
    terminal = out or sys.stderr
    file = LogFile(terminal)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    last: list[Processor] = [file.with_losses, Masking(secrets), _renderer(style, colors=terminal.isatty())]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, file)),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(cast(TextIO, file))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name, least in THEIR_LEVELS.items():
        logging.getLogger(name).setLevel(least)
    logging.captureWarnings(True)


def _renderer(style: str, *, colors: bool) -> Processor:
    if style == "json":
        return structlog.processors.JSONRenderer(serializer=lambda line, **_: orjson.dumps(line, default=str).decode())
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
