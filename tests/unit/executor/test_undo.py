"""The history of edits is bounded."""

from pathlib import Path

from openhands_sessions.executor import undo
from openhands_sessions.executor.undo import PreviousContent, UndoHistory


def test_the_last_content_comes_back_first(tmp_path: Path) -> None:
    history = UndoHistory(tmp_path)
    history.push("a", None)
    history.push("a", b"one")
    history.push("b", b"other")
    assert history.last("a") == PreviousContent(b"one")
    history.drop("a")
    assert history.last("a") == PreviousContent(None)
    history.drop("a")
    assert history.last("a") is None
    assert history.last("b") == PreviousContent(b"other")


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    history = UndoHistory(tmp_path)
    for number in range(undo.ENTRIES_KEPT + 5):
        history.push(str(number), b"")
    assert history.last("4") is None
    assert history.last("5") == PreviousContent(b"")
    assert len(list(tmp_path.iterdir())) == undo.ENTRIES_KEPT


def test_the_oldest_go_when_they_are_too_large(tmp_path: Path) -> None:
    history = UndoHistory(tmp_path)
    half = b"x" * (undo.BYTES_KEPT // 2)
    for path in ("a", "b", "c"):
        history.push(path, half)
    assert history.last("a") is None
    assert history.last("b") == PreviousContent(half)
