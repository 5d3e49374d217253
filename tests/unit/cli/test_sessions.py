"""What `sessions ls` shows to people: short ids, ages, titles that fit."""

from datetime import UTC, datetime, timedelta

import pytest

from openhands_sessions.cli.sessions import _listing, age
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, EventId
from openhands_sessions.ports.gateway import SessionInfo

NOW = datetime(2026, 5, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ago", "told"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=1), "1 min"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(hours=1), "1 h"),
        (timedelta(hours=23, minutes=59), "23 h"),
        (timedelta(days=1), "1 day"),
        (timedelta(days=6, hours=23), "6 days"),
        (timedelta(days=40), "10 Apr"),
        (timedelta(days=400), "2025-04-15"),
    ],
)
def test_an_age_is_told_as_people_say_it(ago: timedelta, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    assert age(NOW, NOW - ago) == told


@pytest.mark.parametrize("width", [40, 60, 200])
def test_a_listing_fits_the_terminal(width: int) -> None:
    lines = _listing([_info("a" * 32, "A long title that goes on, and on, and on"), _info("b" * 32, "x")], width)
    assert all(len(line) <= width for line in lines.splitlines())
    assert "aaaaaaaa  stopped" in lines
    assert ("A long title" if width == 40 else "A long title that goes") in lines


def test_ids_are_as_long_as_it_takes_to_tell_them_apart() -> None:
    lines = _listing([_info("abcdefgh1234", "one"), _info("abcdefgh1299", "two")], 80)
    assert "abcdefgh123 " in lines
    assert "abcdefgh129 " in lines


def _info(sid: str, title: str) -> SessionInfo:
    moment = datetime.now(UTC) - timedelta(minutes=3)
    return SessionInfo(
        id=ConversationId(sid),
        owner=LOCAL_OWNER,
        title=title,
        created_at=moment,
        updated_at=moment,
        trigger="gui",
        state=None,
        agent_state=None,
        runtime_status=None,
        head=EventId(-1),
        last_state=EventId(-1),
        followers=0,
    )
