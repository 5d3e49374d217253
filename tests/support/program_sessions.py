"""Sessions of a program in the test's own process, with a real model server on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openhands_sessions import Agent, Session
from openhands_sessions.sdk.private_loop import end_private_loop
from tests.support.model_server import MODEL, ModelServer, Scripted, model_server


@dataclass(frozen=True, kw_only=True)
class ProgramSessions:
    """What a program has: a database file, and a model."""

    model: ModelServer
    database: Path

    @property
    def store(self) -> str:
        return f"sqlite:///{self.database}"

    def agent(self, *tools: Callable[..., Any], **given: Any) -> Agent:
        """An agent that asks the model server."""
        return Agent(
            **{
                "name": "helper",
                "instructions": "Be brief.",
                "llm": f"openai/{MODEL}",
                "base_url": self.model.url,
                "api_key": "a-key-for-tests",
                "tools": tools,
                **given,
            }
        )

    def session(self, name: str = "my-id", *tools: Callable[..., Any], **given: Any) -> Session:
        """A session with such an agent, in the database."""
        return Session(name, **{"agent": self.agent(*tools), "store": self.store, **given})


@asynccontextmanager
async def program_sessions(folder: Path, script: Scripted) -> AsyncIterator[ProgramSessions]:
    """For the length of the block; then all that the program has opened is closed."""
    async with model_server(script) as model:
        try:
            yield ProgramSessions(model=model, database=folder / "x.db")
        finally:
            await asyncio.to_thread(end_private_loop)


def said(session_history: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Roles and texts of a history."""
    return [(message["role"], message["content"]) for message in session_history]
