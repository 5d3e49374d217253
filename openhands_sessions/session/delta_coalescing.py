"""Coalesces what streams into one delta per interval."""

import asyncio
from collections.abc import Callable
from typing import Literal

from openhands_sessions.core.masking import SecretMasker, StreamMasker
from openhands_sessions.ports.gateway import Delta

INTERVAL = 0.03
LONGEST = 16 * 1024


class DeltaCoalescer:
    """One stream of text, told in pieces at most every INTERVAL seconds and LONGEST characters each, without secrets.
    `offset` counts what was told."""

    def __init__(
        self,
        tell: Callable[[Delta], None],
        kind: Literal["reply", "output", "thought"],
        key: str,
        masker: SecretMasker,
        *,
        anew: bool = False,
    ) -> None:
        """`anew`: what an earlier writer told of the same stream is void."""
        self._tell = tell
        self._masker = StreamMasker(masker)
        self._kind: Literal["reply", "output", "thought"] = kind
        self._key = key
        self._waiting: list[str] = []
        self._size = 0
        self._offset = 0
        self._restart = anew
        self._timer: asyncio.TimerHandle | None = None

    def write(self, text: str) -> None:
        text = self._masker.feed(text)
        if not text:
            return
        self._waiting.append(text)
        self._size += len(text)
        if self._size >= LONGEST:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(INTERVAL, self.flush)

    def restart(self) -> None:
        """What was told so far is void: the text begins anew."""
        self._masker.restart()
        self._waiting.clear()
        self._size = 0
        self._restart = self._restart or self._offset > 0
        self._offset = 0

    def flush(self) -> None:
        """Tell what waits now."""
        text = "".join(self._waiting)
        self.close()
        for start in range(0, len(text), LONGEST):
            piece = text[start : start + LONGEST]
            self._tell(Delta(self._kind, self._key, self._offset, piece, restart=self._restart))
            self._offset += len(piece)
            self._restart = False

    def close(self) -> None:
        """Drop what waits: it was told, or the event that the text announced is there."""
        self._waiting.clear()
        self._size = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
