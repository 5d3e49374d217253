"""A gateway of either kind, and what is said through it."""

from dataclasses import dataclass

from openhands_sessions.bootstrap.application import Application
from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.conversations import Conversations
from openhands_sessions.ports.gateway import Gateway, SessionInfo, SessionSpec
from openhands_sessions.ports.sharing import Sharing
from openhands_sessions.ports.state import States
from openhands_sessions.ports.usage import UsageReports
from tests.support.in_process_server import numbered, read, state, turn_ends

SID = ConversationId("talk")
IDLE = state("awaiting_user_input")


@dataclass(frozen=True)
class Kind:
    """A gateway, and the house behind it."""

    gateway: Gateway
    conversations: Conversations
    usage: UsageReports
    sharing: Sharing
    states: States
    house: Application


async def new(gateway: Gateway, *, message: str | None = None, **settings: Json) -> SessionInfo:
    spec = SessionSpec(id=SID, create=True, initial_message=message, settings=settings)
    return await gateway.open(spec)


async def say(gateway: Gateway, text: str, key: str | None = None) -> int:
    return (await gateway.submit(SID, SendMessage(content=text), key=key)).id


async def whole_log(gateway: Gateway) -> list[Stored]:
    """What is stored after two turns."""
    await new(gateway)
    for text in ("one", "two"):
        said = await say(gateway, text)
        await read(gateway, SID, said, turn_ends)
    return await read(gateway, SID, said, IDLE) and await read(
        gateway, SID, -1, numbered((await gateway.describe(SID)).head)
    )
