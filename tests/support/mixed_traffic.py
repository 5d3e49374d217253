"""What many users do with a server, over and over: conversations that are made, used, left, read, taken up again and
deleted. In the end nothing of them is there."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count

from tests.support.model_server import MODEL, ModelServer, model_server
from tests.support.server_clients import Clients

AT_ONCE = 3
PEACE = "awaiting_user_input"
TALK = ("hello", "how are you? " * 200)
COMMANDS = ("$ echo one; seq 2000", "$ echo two > file; cat file", "no command")


class MixedTraffic:
    """On one server, with a model on loopback. `lives` counts conversations from their making to their deletion."""

    def __init__(self, url: str, model: ModelServer) -> None:
        self.lives = 0
        self._url = url
        self._server = model
        self._model = {"llm_model": f"openai/{MODEL}", "llm_base_url": model.url, "llm_api_key": "sk-loopback"}

    async def run(self, lives: int | None = None) -> None:
        """AT_ONCE conversations at a time: so many in all, or until it is cancelled."""
        numbers = iter(range(lives)) if lives is not None else count()

        async def work() -> None:
            for number in numbers:
                await self._life(number)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())

    async def _life(self, number: int) -> None:
        if number % 2:
            await self._conversation(self._model, TALK)
        else:
            await self._conversation({"agent": "shell"}, COMMANDS)
        self.lives += 1
        for record in (self._server.requests, self._server.titles):
            record.clear()

    async def _conversation(self, settings: Mapping[str, str], texts: Sequence[str]) -> None:
        async with Clients(self._url) as clients:
            rest = clients.rest
            sid = await rest.create(**settings)
            client = clients.protocol2(sid)
            await client.connect()
            for text in texts:
                await client.until_state(PEACE, after=await client.say(text))
            await client.vanish()
            stored = [event["id"] for event in await rest.events(sid)]
            assert stored[: len(client.ids)] == client.ids  # the record of the title's call may have come meanwhile
            for path in ("/api/conversations", f"/api/conversations/{sid}", f"/api/conversations/{sid}/list-files"):
                status, _ = await rest.ask("GET", path)
                assert status == 200
            await client.connect()
            await client.until_state(PEACE, after=await client.say(texts[0]))
            assert client.faults == []
            await client.leave()
            assert await rest.delete(sid)


@asynccontextmanager
async def mixed_traffic(url: str) -> AsyncIterator[MixedTraffic]:
    """Traffic for a server, with a model of its own for the length of the block."""
    async with model_server(kept=0) as model:
        yield MixedTraffic(url, model)
