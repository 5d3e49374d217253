"""The moves of a program's session through its history, by the commands that every client has."""

from typing import Any
from uuid import uuid4

from openhands_sessions.core.errors import BadInput, NotAccepting, NotFound, NothingToMerge, SessionBusy
from openhands_sessions.core.history_commands import (
    CreateCheckpoint,
    DeleteBranch,
    GoBack,
    HistoryCommand,
    Merge,
    SwitchBranch,
)
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.lineage import MAIN, Checkpoint
from openhands_sessions.ports.conversations import DialogueDiff, DialogueHistory, ForkSpec
from openhands_sessions.ports.gateway import Accepted
from openhands_sessions.sdk.opening import Opening, Place
from openhands_sessions.sdk.program_conversation import ProgramConversation
from openhands_sessions.sdk.results import MergeResult
from openhands_sessions.sdk.session_ids import stored_id

VERSION = "version "
"""Before the numbers of versions, in the names of their checkpoints."""


class SessionHistory:
    """Of one conversation. Its moves raise SessionBusy while a turn runs."""

    def __init__(self, conversation: ProgramConversation) -> None:
        self._conversation = conversation

    async def create_checkpoint(self, label: str | None, description: str) -> Checkpoint:
        """Name the end of the newest turn, also where that still runs; without a label, by a number."""
        known = {one.name for one in await self.checkpoints()}
        name = label or next(str(number) for number in range(1, len(known) + 2) if str(number) not in known)
        await self._carry_out(CreateCheckpoint(name=name, description=description))
        return next(one for one in await self.checkpoints() if one.name == name)

    async def checkpoints(self) -> list[Checkpoint]:
        """Oldest first."""
        history = await self._read(0)
        return [] if history is None else list(history.checkpoints)

    async def restore(self, place: Place, branch: str | None) -> None:
        """Go on from a checkpoint. What is left is a branch of the name `branch`, or of a number."""
        match place:
            case Checkpoint(name="", at=at):
                await self._carry_out(GoBack(event=at, branch=branch))
            case Checkpoint(name=name):
                await self._carry_out(GoBack(checkpoint=name, branch=branch))
            case str() | int() if not isinstance(place, bool):
                await self._carry_out(GoBack(checkpoint=str(place), branch=branch))
            case _:
                raise BadInput("checkpoint", "must be a checkpoint, its name or its number")

    async def undo(self, turns: int, branch: str | None) -> None:
        """Take the newest turns back."""
        if not isinstance(turns, int) or turns < 1:
            raise BadInput("turns", "must be a whole number of at least 1")
        history = await self._read(turns)
        found = 0 if history is None else len(history.turns)
        if history is None or found < turns:
            raise BadInput("turns", f"must be at most {found}: so many turns are there")
        await self._carry_out(GoBack(message=history.turns[0].message, branch=branch))

    async def branch(self, name: str, place: Place | None) -> None:
        """Go on, on a new branch: from here, or from a checkpoint. What was said stays on the branch before."""
        info = await self._conversation.info()
        if info is None:
            raise NotAccepting("nothing was said yet")
        await self._carry_out(GoBack(event=info.head, branch=name))
        await self._carry_out(SwitchBranch(branch=name))
        if place is not None:
            await self.restore(place, None)

    async def switch(self, name: str) -> None:
        """Go on at the end of another branch."""
        await self._carry_out(SwitchBranch(branch=name))

    async def delete_branch(self, name: str) -> None:
        """Take the name of another branch away."""
        await self._carry_out(DeleteBranch(branch=name))

    async def branches(self) -> list[str]:
        """The one that the session is on, then the others."""
        history = await self._read(0)
        return [MAIN] if history is None else [history.branch, *(one.name for one in history.branches)]

    async def save_version(self, description: str) -> int:
        """Name the end of the newest turn by the next number, from 0 on."""
        number = 1 + max((number for number, _ in await self._versions()), default=-1)
        while True:
            try:
                await self._carry_out(CreateCheckpoint(name=f"{VERSION}{number}", description=description))
            except BadInput:  # another program was faster
                number += 1
            else:
                return number

    async def restore_version(self, number: int) -> bool:
        """Whether there is such a version; then the dialogue goes on from it."""
        if number not in [known for known, _ in await self._versions()]:
            return False
        await self._carry_out(GoBack(checkpoint=f"{VERSION}{number}"))
        return True

    async def list_versions(self) -> list[dict[str, Any]]:
        """Oldest first."""
        found: list[dict[str, Any]] = []
        for number, one in await self._versions():
            [event] = await self._conversation.events(one.at - 1, 1) if one.at >= 0 else [{"timestamp": None}]
            found.append({"version": number, "description": one.description, "timestamp": event["timestamp"]})
        return found

    async def _versions(self) -> list[tuple[int, Checkpoint]]:
        named = [
            (one.name.removeprefix(VERSION), one) for one in await self.checkpoints() if one.name.startswith(VERSION)
        ]
        return sorted(((int(number), one) for number, one in named if number.isdecimal()), key=lambda each: each[0])

    async def diff(self, other: Opening | str) -> DialogueDiff:
        """The turns that only this dialogue has, or only that of another session or a branch."""
        conversation = self._conversation
        if await conversation.info() is None:
            raise NotFound("session", conversation.opening.name)
        asked = _merging(conversation.opening, other, None)
        return await conversation.access.conversations.diff(conversation.sid, asked.conversation, asked.branch)

    async def fork(self, sid: ConversationId, name: str, place: Place | None) -> None:
        """Make the session `name` of a copy of this one, up to a checkpoint where one is given."""
        conversation = self._conversation
        if await conversation.info() is None:
            raise NotFound("session", conversation.opening.name)
        spec = ForkSpec(id=sid, title=name)
        match place:
            case None:
                pass
            case Checkpoint(name="", at=at):
                spec = ForkSpec(id=sid, title=name, event=at)
            case Checkpoint(name=label):
                spec = ForkSpec(id=sid, title=name, checkpoint=label)
            case _:
                spec = ForkSpec(id=sid, title=name, checkpoint=str(place))
        await conversation.access.conversations.fork(conversation.sid, spec)

    async def merge(self, other: Opening | str, left: str | None) -> MergeResult:
        """Go on with the turns of another session, or of a branch, too. Raises BadInput for what is not related."""
        conversation = self._conversation
        try:
            accepted = await self._carry_out(_merging(conversation.opening, other, left))
        except NothingToMerge:
            return MergeResult()
        done = await conversation.access.conversations.history_change(conversation.sid, accepted.id)
        return MergeResult(turns=done.turns or 0, left_branch=done.left_branch, conflicts=done.conflicts)

    async def free_id(self, name: str) -> str:
        """The name, or with a number, which no session has."""
        gateway, count = self._conversation.access.gateway, 1
        while True:
            found = name if count == 1 else f"{name}-{count}"
            try:
                await gateway.describe(stored_id(found))
            except NotFound:
                return found
            count += 1

    async def _read(self, turns: int) -> DialogueHistory | None:
        if await self._conversation.info() is None:
            return None
        return await self._conversation.access.conversations.history(self._conversation.sid, limit=turns)

    async def _carry_out(self, command: HistoryCommand) -> Accepted:
        conversation = self._conversation
        if await conversation.info() is None:
            raise NotFound("session", conversation.opening.name)
        try:
            return await conversation.submit(command, uuid4().hex)
        except (SessionBusy, NothingToMerge):
            raise
        except NotAccepting as error:
            info = await conversation.info()
            if info is None or not info.processing:
                raise
            raise SessionBusy("a turn runs in this session; stop it, or wait for its end") from error


def _merging(ours: Opening, other: Opening | str, left: str | None) -> Merge:
    """Raises BadInput for a session of another store or user."""
    if isinstance(other, str):
        return Merge(branch=other, left=left)
    if (other.store, other.owner) != (ours.store, ours.owner):
        raise BadInput("other", "must be a session of the same store and user, or the name of a branch")
    return Merge(conversation=other.sid, left=left)
