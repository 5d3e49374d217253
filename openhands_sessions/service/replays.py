"""Recorded trajectories that conversations begin with: read, checked, and kept until they have been replayed."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace

from openhands_sessions.core.errors import BadInput, NotFound
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.replay import Step, Trajectory, dump_steps, load_steps, read_trajectory
from openhands_sessions.ports.files import FileStore
from openhands_sessions.ports.gateway import SessionSpec
from openhands_sessions.service.settings import conversation_folder


class Replays:
    """Steps are kept among the conversation's files, apart from its row: lists would read them with every row."""

    def __init__(self, files: FileStore) -> None:
        self._files = files

    async def taken(self, spec: SessionSpec) -> tuple[SessionSpec, str | None]:
        """What a conversation is made with once its trajectory is kept, and the name for that; None where there is
        none. Raises BadInput, and then nothing is kept; StorageUnavailable."""
        if spec.replay_json is None:
            return spec, None
        if spec.initial_message is not None:
            raise BadInput("initial_user_msg", "must be left out: the trajectory in replay_json has a first message")
        # Off the loop: a long trajectory takes a second.
        trajectory, content = await asyncio.to_thread(_read, spec.replay_json)
        # By its content, so that whoever is too late with the same id changes nothing of the other's.
        name = _name(content)
        await self._files.write(_key(spec.id, name), content)
        message = trajectory.message
        images = message.image_urls or ()
        return replace(spec, initial_message=message.content, image_urls=images, replay_json=None), name

    async def steps(self, sid: ConversationId, name: str) -> Sequence[Step] | None:
        """The steps, None where they are lost or damaged. Raises StorageUnavailable."""
        try:
            content = await self._files.read(_key(sid, name))
            return await asyncio.to_thread(load_steps, content) if _name(content) == name else None
        except (NotFound, ValueError):
            return None

    async def forget(self, sid: ConversationId, name: str) -> None:
        """Delete what `taken` kept for a conversation that could not be made."""
        await self._files.delete(_key(sid, name))


def _read(text: str) -> tuple[Trajectory, bytes]:
    trajectory = read_trajectory(text)
    return trajectory, dump_steps(trajectory.steps)


def _name(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _key(sid: ConversationId, name: str) -> str:
    return f"{conversation_folder(sid)}/replay-{name}.json"
