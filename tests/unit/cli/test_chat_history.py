"""What was typed, in a file that lasts."""

import stat
from pathlib import Path

import pytest

from openhands_sessions.cli import chat_history
from openhands_sessions.cli.chat_history import ChatHistory


def test_texts_come_back_with_their_lines_the_newest_first(tmp_path: Path) -> None:
    path = tmp_path / "new" / "history"
    ChatHistory(path).store_string("one\ntwo")
    ChatHistory(path).store_string("half \ud83d")
    assert list(ChatHistory(path).load_history_strings()) == ["half ?", "one\ntwo"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.touch(mode=0o644)
    ChatHistory(path).store_string("secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_damaged_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_bytes(b'"one"\n"tw\n7\n\xff\n"three"\n')
    assert list(ChatHistory(path).load_history_strings()) == ["three", "one"]


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_history, "KEPT_BYTES", 40)
    history = ChatHistory(tmp_path / "history")
    for number in range(20):
        history.store_string(f"number {number}")
    found = list(history.load_history_strings())
    assert found == ["number 19", "number 18", "number 17"]
    assert [each.name for each in tmp_path.iterdir()] == ["history"]


def test_a_chat_goes_on_without_a_history(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    history = ChatHistory(tmp_path / "file" / "history")
    history.store_string("one")
    assert list(history.load_history_strings()) == []
