"""Text and JSON from outside: halves of surrogate pairs, which JSON may hold and UTF-8 may not."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import orjson

_HALF = re.compile("[\ud800-\udfff]")
_FIRST_HALF = re.compile("[\ud800-\udbff]\\Z")


def without_halves(text: str) -> str:
    """The text with halves that meet joined to their character, and U+FFFD in place of those that stay alone."""
    if text.isascii() or not _HALF.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def whole(value: Any) -> Any:
    """The JSON value with `without_halves` applied to each of its texts."""
    match value:
        case str():
            return without_halves(value)
        case Mapping():
            return {without_halves(str(key)): whole(item) for key, item in value.items()}
        case list():
            return [whole(item) for item in value]
        case _:
            return value


def read_json(text: str | bytes) -> Any:
    """The value of JSON text. All that JSON allows is taken: also halves of characters, see `without_halves`. Raises
    ValueError for what is not JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        if not _may_hold_halves(text):
            raise
        try:
            return whole(json.loads(text, parse_constant=_refuse))
        except RecursionError:
            raise ValueError("the JSON is nested too deeply") from None


def _may_hold_halves(text: str | bytes) -> bool:
    if isinstance(text, bytes):
        return b"\\ud" in text.lower()
    return "\\ud" in text.lower() or bool(_HALF.search(text))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


class TextJoiner:
    """A text that comes in pieces. Each is told with whole characters: the first half of one waits for the second."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._pieces: list[str] = []
        self._half = ""

    @property
    def text(self) -> str:
        """All that was told."""
        return "".join(self._pieces)

    def add(self, piece: str) -> None:
        if not piece:
            return
        piece = self._half + piece
        self._half = piece[-1] if _FIRST_HALF.search(piece) else ""
        self._say(piece[:-1] if self._half else piece)

    def end(self) -> None:
        """Nothing follows: half a character that waits stays alone."""
        self._half, left = "", self._half
        self._say(left)

    def _say(self, piece: str) -> None:
        if piece:
            piece = without_halves(piece)
            self._pieces.append(piece)
            self._tell(piece)
