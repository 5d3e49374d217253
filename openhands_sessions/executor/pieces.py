"""Files piece by piece, so that none need be in memory whole."""

from __future__ import annotations

from typing import Generator, Optional

from .workspace import Workspace

PIECE = 256 << 10
"""Bytes that are read at once."""
Pieces = Generator[Optional[bytes], Optional[bytes], None]


def reading(workspace: Workspace, path: str) -> Generator[bytes, bytes | None, None]:
    """Raises OutsidePath, UnfitFile."""
    with workspace.open(path) as file:
        while True:
            piece = file.read(PIECE)
            if not piece:
                return
            yield piece


def writing(workspace: Workspace, path: str) -> Generator[None, bytes | None, None]:
    """Takes pieces, and None behind the last one: without it, nothing is changed. Raises OutsidePath, UnfitFile."""
    with workspace.replace(path) as file:
        while True:
            piece = yield
            if piece is None:
                return
            file.write(piece)
