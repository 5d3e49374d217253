"""A library that is loaded beforehand waits for the event loop, unless it is needed now."""

import asyncio
import importlib
import sys
import threading
import time
from pathlib import Path

import pytest

from openhands_sessions.adapters.models.litellm_library import _interrupted
from openhands_sessions.adapters.models.preloading import Preloading


async def test_a_loading_thread_goes_on_only_when_the_loop_has_answered() -> None:
    preloading, loop = Preloading(), asyncio.get_running_loop()
    passed: list[float] = []

    def work() -> None:
        for _ in range(3):
            preloading.give_way(loop)
            passed.append(time.monotonic())

    working = asyncio.create_task(asyncio.to_thread(work))
    await asyncio.sleep(0)
    time.sleep(0.03)  # noqa: ASYNC251 - the loop is busy
    busy_until = time.monotonic()
    await working
    assert passed[0] >= busy_until


async def test_what_is_needed_now_waits_for_nobody() -> None:
    preloading, loop = Preloading(), asyncio.get_running_loop()
    preloading.hurry()
    gone_on = threading.Event()

    def work() -> None:
        preloading.give_way(loop)
        gone_on.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert gone_on.wait(10), "the loop, which stands still here, was waited for"
    thread.join()


async def test_a_loop_that_waits_for_the_thread_is_not_waited_for_without_end() -> None:
    preloading, loop = Preloading(), asyncio.get_running_loop()
    thread = threading.Thread(target=preloading.give_way, args=(loop,))
    thread.start()
    thread.join(10)  # holds the loop up, as the lock of a module does
    assert not thread.is_alive()


async def test_a_loading_that_was_given_up_ends_before_the_next_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preloading, loop = Preloading(), asyncio.get_running_loop()
    (tmp_path / "first_of_two_modules.py").write_text("import second_of_two_modules")
    (tmp_path / "second_of_two_modules.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    seen: list[int] = []

    def before_each() -> None:
        seen.append(1)
        if len(seen) == 2:
            preloading.give_up()
        preloading.give_way(loop)

    def load() -> None:
        with _interrupted(before_each):
            importlib.import_module("first_of_two_modules")

    with pytest.raises(ImportError, match="given up"):
        await asyncio.to_thread(load)
    assert len(seen) == 2
    assert not {"first_of_two_modules", "second_of_two_modules"} & sys.modules.keys()
