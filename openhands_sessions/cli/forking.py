"""`sessions fork` and `sessions merge`: a dialogue that goes two ways, and both together again."""

from dataclasses import asdict
from uuid import uuid4

from openhands_sessions.cli.history import words
from openhands_sessions.cli.output import clean, columns, print_json
from openhands_sessions.cli.sessions import ConversationsTarget, find
from openhands_sessions.config.errors import ConfigError
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.history_changes import HistoryChange
from openhands_sessions.core.history_commands import Merge
from openhands_sessions.core.ids import ConversationId, EventId, conversation_id
from openhands_sessions.ports.access import Access
from openhands_sessions.ports.conversations import DialogueDiff, ForkSpec


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


def merge(
    target: ConversationsTarget, sid: str, other: str | None, branch: str | None, *, left: str | None, as_json: bool
) -> int:
    """Print what the merge has done. Raises ConfigError where nothing is named."""
    if other is None and branch is None:
        raise ConfigError("sessions merge", "needs another conversation, or --branch NAME")
    done = target.ask(lambda access: _merge(access, sid, other, Merge(branch=branch, left=left)))
    if as_json:
        print_json(asdict(done))
    else:
        print(words(done))
    return 0


def diff(target: ConversationsTarget, sid: str, other: str | None, branch: str | None, *, as_json: bool) -> int:
    """Print the turns that only one dialogue has."""
    found = target.ask(lambda access: _diff(access, sid, other, branch))
    if as_json:
        print_json(asdict(found))
    else:
        rows = [
            (sign, str(turn.message), turn.text)
            for sign, side in (("-", found.theirs), ("+", found.ours))
            for turn in side
        ]
        print(clean(columns(("", "message", "text"), rows)))
    return 0


async def _diff(access: Access, sid: str, other: str | None, branch: str | None) -> DialogueDiff:
    beside = None if other is None else (await find(access, other)).id
    return await access.conversations.diff((await find(access, sid)).id, beside, branch)


async def _merge(access: Access, sid: str, other: str | None, command: Merge) -> HistoryChange:
    found = await find(access, sid)
    if other is not None:
        command = evolve(command, conversation=(await find(access, other)).id)
    accepted = await access.gateway.submit(found.id, command, key=uuid4().hex)
    return await access.conversations.history_change(found.id, accepted.id)


async def _fork(access: Access, sid: str, spec: ForkSpec) -> None:
    await access.conversations.fork((await find(access, sid)).id, spec)
