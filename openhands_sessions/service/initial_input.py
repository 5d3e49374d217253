"""Files of what conversations begin with and is too large for their rows: images and recorded steps."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from openhands_sessions.core.errors import BadInput, NotFound
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.trajectory import TrajectoryStep, dump_steps, load_steps, read_trajectory
from openhands_sessions.ports.files import FileStore
from openhands_sessions.ports.gateway import SessionSpec
from openhands_sessions.service.settings import conversation_folder


@dataclass(frozen=True, slots=True)
class StoredInput:
    """The rest of a spec, the names of the files that hold its trajectory and its images, None where it has none, and
    how many bytes they have."""

    spec: SessionSpec
    replay: str | None
    images: str | None
    size: int


class InitialInputStore:
    """Each is a file among the conversation's files, named by its content: so of two requests that create the same id,
    the later one changes no file of the first."""

    def __init__(self, files: FileStore) -> None:
        self._files = files

    async def store(self, spec: SessionSpec) -> "StoredInput":
        """Move trajectory and images of a spec into files. Raises BadInput, before anything is stored, and
        StorageUnavailable."""
        replay, images, size = None, None, 0
        if spec.replay_json is not None:
            spec, steps = await self._recorded(spec, spec.replay_json)
            replay, size = await self._keep(spec.id, steps), len(steps)
        if spec.image_urls:
            content = json.dumps(spec.image_urls).encode()
            images, size = await self._keep(spec.id, content), size + len(content)
        return StoredInput(replace(spec, image_urls=()), replay, images, size)

    async def steps(self, sid: ConversationId, name: str) -> Sequence[TrajectoryStep] | None:
        """A replay's steps, None where the file is lost or damaged. Raises StorageUnavailable."""
        try:
            content = await self._files.read(_key(sid, name))
            return await asyncio.to_thread(load_steps, content) if _name(content) == name else None
        except (NotFound, ValueError):
            return None

    async def images(self, sid: ConversationId, name: str) -> Sequence[str]:
        """Raises NotFound, StorageUnavailable."""
        return [str(image) for image in json.loads(await self._files.read(_key(sid, name)))]

    async def forget(self, stored: "StoredInput") -> None:
        """Delete what `store` wrote for a conversation that could not be created."""
        for name in filter(None, (stored.replay, stored.images)):
            await self._files.delete(_key(stored.spec.id, name))

    async def _recorded(self, spec: SessionSpec, text: str) -> tuple[SessionSpec, bytes]:
        """The spec with the trajectory's first message as its own, and the steps after it."""
        if spec.initial_message is not None:
            raise BadInput("initial_user_msg", "must be left out: the trajectory in replay_json has a first message")
        # Off the loop: a long trajectory takes seconds.
        trajectory = await asyncio.to_thread(read_trajectory, text)
        steps = await asyncio.to_thread(dump_steps, trajectory.steps)
        message = trajectory.message
        images = message.image_urls or ()
        return replace(spec, initial_message=message.content, image_urls=images, replay_json=None), steps

    async def _keep(self, sid: ConversationId, content: bytes) -> str:
        name = _name(content)
        await self._files.write(_key(sid, name), content)
        return name


def _name(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _key(sid: ConversationId, name: str) -> str:
    return f"{conversation_folder(sid)}/opening-{name}.json"
