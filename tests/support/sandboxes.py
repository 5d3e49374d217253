"""For tests of runtimes: a conversation, its actions, and an ear for what they print."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from openhands_sessions.core.ids import ConversationId, EventId, action_key
from openhands_sessions.ports.runtime import (
    CommandDone,
    EditDone,
    EditFile,
    GiveInput,
    RunCommand,
    Runtime,
    Runtimes,
    RuntimeSpec,
)

SID = ConversationId("talk")
CAP = 1000
FLOOD = "for i in {1..4000}; do echo $i; done"
FLOODED = "".join(f"{i}\n" for i in range(1, 4001))


def opened(runtimes: Runtimes, term: int = 1, **environment: str) -> AbstractAsyncContextManager[Runtime]:
    return runtimes.open(RuntimeSpec(sid=SID, term=term, environment=environment))


def key(number: int) -> str:
    return action_key(SID, EventId(number))


@dataclass
class Hearing:
    """Listens to a command's output and lets a test wait for a part of it."""

    text: str = ""

    def __post_init__(self) -> None:
        self._news = asyncio.Event()

    def __call__(self, piece: str) -> None:
        self.text += piece
        self._news.set()

    async def hears(self, part: str) -> None:
        while part not in self.text:
            self._news.clear()
            await self._news.wait()


async def run(runtime: Runtime, number: int, command: str, hearing: Hearing | None = None) -> CommandDone:
    return await perform(runtime, number, RunCommand(command=command), hearing)


async def perform(
    runtime: Runtime, number: int, task: RunCommand | GiveInput, hearing: Hearing | None = None
) -> CommandDone:
    outcome = await runtime.perform(key(number), task, hearing or Hearing())
    assert isinstance(outcome, CommandDone)
    return outcome


async def edit(runtime: Runtime, number: int, task: EditFile) -> EditDone:
    outcome = await runtime.perform(key(number), task, Hearing())
    assert isinstance(outcome, EditDone)
    return outcome
