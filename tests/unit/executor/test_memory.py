"""How long an executor stays that nobody uses, by the machine's memory."""

import asyncio
from pathlib import Path

import pytest

from openhands_sessions.executor.memory import is_short
from openhands_sessions.executor.program import IdleTimer


@pytest.mark.parametrize(("available", "short"), [(2600, False), (2400, True), (0, True)])
def test_memory_is_short_where_less_than_a_quarter_is_available(tmp_path: Path, available: int, short: bool) -> None:
    table = tmp_path / "meminfo"
    table.write_text(f"MemTotal:       10000 kB\nMemFree:  1 kB\nMemAvailable:   {available} kB\nHugePages_Total:  0\n")
    assert is_short(table) is short


@pytest.mark.parametrize("text", ["", "nonsense", "MemTotal:", "MemTotal: 1000 kB\n"])
def test_memory_is_not_short_where_the_system_does_not_tell(tmp_path: Path, text: str) -> None:
    table = tmp_path / "meminfo"
    table.write_text(text)
    assert not is_short(table)
    assert not is_short(tmp_path / "none")


@pytest.mark.parametrize(("short", "seconds"), [(False, 600.0), (True, 60.0)])
async def test_an_idle_executor_stays_a_tenth_of_its_time_where_memory_is_short(
    monkeypatch: pytest.MonkeyPatch, short: bool, seconds: float
) -> None:
    loop = asyncio.get_running_loop()
    waits: list[float] = []
    call_later = loop.call_later

    def noted(delay: float, *arguments: object) -> asyncio.TimerHandle:
        waits.append(delay)
        return call_later(delay, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_later", noted)
    idle = [True]
    timer = IdleTimer(600.0, lambda: idle[0], lambda: None, memory_is_short=lambda: short)
    timer.look()
    idle[0] = False
    timer.look()
    assert waits == [seconds], "one look as it becomes idle, and none while it is at work"
