"""`sessions fork`: a conversation that goes on from a copy of another one's dialogue."""

from uuid import uuid4

from openhands_sessions.cli.output import print_json
from openhands_sessions.cli.sessions import ConversationsTarget, find
from openhands_sessions.core.ids import ConversationId, EventId, conversation_id
from openhands_sessions.ports.access import Access
from openhands_sessions.ports.conversations import ForkSpec


def fork(
    target: ConversationsTarget,
    sid: str,
    new_id: str | None,
    event: int | None,
    checkpoint: str | None,
    *,
    title: str | None,
    as_json: bool,
) -> int:
    """Print the id of the new conversation."""
    spec = ForkSpec(
        id=ConversationId(uuid4().hex) if new_id is None else conversation_id(new_id),
        event=None if event is None else EventId(event),
        checkpoint=checkpoint,
        title=title,
    )
    target.ask(lambda access: _fork(access, sid, spec))
    if as_json:
        print_json({"conversation_id": spec.id})
    else:
        print(spec.id)
    return 0


async def _fork(access: Access, sid: str, spec: ForkSpec) -> None:
    await access.conversations.fork((await find(access, sid)).id, spec)
