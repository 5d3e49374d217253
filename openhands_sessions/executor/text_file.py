"""A text file as an editor sees it: without its byte order mark, and with a newline at the end of each line."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from itertools import chain, zip_longest
from typing import NamedTuple

_MARKS = (
    (codecs.BOM_UTF8, "UTF-8"),
    (codecs.BOM_UTF32_LE, "UTF-32-LE"),  # begins with the mark of UTF-16-LE
    (codecs.BOM_UTF32_BE, "UTF-32-BE"),
    (codecs.BOM_UTF16_LE, "UTF-16-LE"),
    (codecs.BOM_UTF16_BE, "UTF-16-BE"),
)
_CONTROLS = re.compile(rb"[\0-\x07\x0e-\x1a\x1c-\x1f\x7f]")
"""What no text in a one-byte encoding contains."""


class UnknownEncoding(Exception):
    """The bytes are not a text in a known encoding."""


class TextFile(NamedTuple):
    """`ends` are the line ends as they are in the file, one for each newline of `text`: CRLF, LF, or CR in a file that
    has no other. Only a text in UTF-8 can be encoded again."""

    text: str
    ends: list[str]
    encoding: str = "UTF-8"
    mark: bytes = b""

    @classmethod
    def decode(cls, data: bytes) -> TextFile:
        """Where neither a mark nor valid UTF-8 tells the encoding, it is guessed. Raises UnknownEncoding."""
        for mark, encoding in _MARKS:
            if data.startswith(mark) and (text := _decoded(data[len(mark) :], encoding)) is not None:
                return cls.of(text, encoding, mark)
        for parity, encoding in enumerate(("UTF-16-BE", "UTF-16-LE")):
            if _is_wide(data, parity) and (text := _decoded(data, encoding)) is not None and _is_readable(text):
                return cls.of(text, encoding)
        if (text := _decoded(data, "UTF-8")) is not None:
            return cls.of(text)
        if _CONTROLS.search(data):
            raise UnknownEncoding
        text = _decoded(data, "cp1252")
        return cls.of(data.decode("latin-1") if text is None else text, "Latin-1")

    @classmethod
    def of(cls, text: str, encoding: str = "UTF-8", mark: bytes = b"") -> TextFile:
        end = "\n" if "\n" in text else "\r"
        ends = re.findall("\r?\n" if end == "\n" else end, text)
        return cls(text.replace("\r\n", "\n") if end == "\n" else text.replace(end, "\n"), ends, encoding, mark)

    def encode(self) -> bytes:
        """The bytes with the mark and the line ends; what UTF-8 cannot express becomes a question mark."""
        lines = self.text.split("\n")
        content = "".join(chain.from_iterable(zip_longest(lines, self.ends, fillvalue="")))
        return self.mark + content.encode("utf-8", "replace")

    def replaced(self, start: int, end: int, new: str) -> TextFile:
        """The file with `new` in place of a part of its text. The new lines end as the old ones in their place, then as
        most lines of the file."""
        usual = Counter(self.ends or ["\r\n" if "\r\n" in new else "\n"]).most_common(1)[0][0]
        new = self.normalized(new)
        first, last = (self.text.count("\n", 0, position) for position in (start, end))
        count = new.count("\n")
        ends = (self.ends[first:last] + [usual] * count)[:count]
        return self._replace(
            text=self.text[:start] + new + self.text[end:], ends=self.ends[:first] + ends + self.ends[last:]
        )

    def normalized(self, text: str) -> str:
        """A part of the text as the caller wrote it: with newlines, and without the file's byte order mark."""
        text = text[1:] if self.mark and text.startswith("\ufeff") else text
        return re.sub("\r\n?" if self.ends[:1] == ["\r"] else "\r\n", "\n", text)


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _is_wide(data: bytes, parity: int) -> bool:
    """Whether these are mostly two-byte characters whose high bytes, at even (0) or odd (1) places, are often zero."""
    high, low = data[parity::2], data[1 - parity :: 2]
    return len(high) == len(low) and high.count(0) * 5 >= len(high) > 0 and 0 not in low


def _is_readable(text: str) -> bool:
    return all(sign.isprintable() or sign.isspace() for sign in text)
