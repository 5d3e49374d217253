"""What no conversation needs is removed, also where other containers fail."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from structlog.testing import capture_logs
from structlog.typing import EventDict

from openhands_sessions.adapters.runtimes.docker.runtimes import DockerRuntimes, open_docker
from openhands_sessions.core.ids import ConversationId, folder_name
from openhands_sessions.ports.runtime import RuntimeSpec
from tests.support.docker_engine import Engine
from tests.support.docker_sandboxes import LOOK_AGAIN, PATIENCE, PLAIN, comes_to, docker_runtimes
from tests.support.sandboxes import run

BARRED, GONE = ConversationId("barred"), ConversationId("gone")


async def test_a_folder_that_cannot_be_looked_at_keeps_its_sandbox_and_no_other(
    docker_engine: Engine, tmp_path: Path
) -> None:
    async def knows(sid: ConversationId) -> bool:
        return sid != GONE

    async with docker_runtimes(docker_engine, tmp_path) as runtimes, asyncio.timeout(60):
        for sid in (GONE, BARRED):
            await _made(runtimes, sid)
        hold = tmp_path / folder_name(BARRED) / "open"
        hold.unlink()
        hold.symlink_to("elsewhere")
        settings = replace(PLAIN, image=docker_engine.base)
        async with open_docker(tmp_path, settings, address=docker_engine.address, exists=knows) as later:
            await comes_to(docker_engine, runtimes, "running")
            [kept] = await later.survey()
            assert (kept.conversation, kept.keep) == (BARRED, True)
            assert "cannot be looked at" in kept.why
        hold.unlink()


async def test_a_folder_that_cannot_be_looked_at_for_a_while_puts_the_rest_of_its_sandbox_off(
    docker_engine: Engine, tmp_path: Path
) -> None:
    settings = replace(PLAIN, pause_after=1.0)
    async with docker_runtimes(docker_engine, tmp_path, settings) as runtimes, asyncio.timeout(60):
        hold = tmp_path / folder_name(BARRED) / "open"
        with capture_logs() as logs:
            async with runtimes.open(RuntimeSpec(sid=BARRED, term=1)) as runtime:
                hold.unlink()
                hold.symlink_to("elsewhere")
                await run(runtime, 0, "true")
            await asyncio.to_thread(_logged, logs, "a sandbox was not put to rest")
        hold.unlink()
        await comes_to(docker_engine, runtimes, "paused")


async def _made(runtimes: DockerRuntimes, sid: ConversationId) -> None:
    async with runtimes.open(RuntimeSpec(sid=sid, term=1)) as runtime:
        await run(runtime, 0, "true")


def _logged(logs: list[EventDict], words: str) -> None:
    """Wait until a warning is logged."""
    until = time.monotonic() + PATIENCE
    while not any(entry["event"] == words for entry in logs):
        assert time.monotonic() < until, logs
        time.sleep(LOOK_AGAIN)
