"""What waits for nobody goes, whatever is wrong with its neighbours."""

import asyncio
from dataclasses import replace
from pathlib import Path

from openhands_sessions.adapters.runtimes.docker import DockerRuntimes, open_docker
from openhands_sessions.core.ids import ConversationId, folder_name
from openhands_sessions.ports.runtime import RuntimeSpec
from tests.support.docker_engine import Engine
from tests.support.docker_sandboxes import PLAIN, comes_to, docker_runtimes
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
        async with open_docker(tmp_path, settings, address=docker_engine.address, knows=knows) as later:
            await comes_to(docker_engine, runtimes, "running")
            [kept] = await later.survey()
            assert (kept.conversation, kept.keep) == (BARRED, True)
            assert "cannot be looked at" in kept.why
        hold.unlink()


async def _made(runtimes: DockerRuntimes, sid: ConversationId) -> None:
    async with runtimes.open(RuntimeSpec(sid=sid, term=1)) as runtime:
        await run(runtime, 0, "true")
