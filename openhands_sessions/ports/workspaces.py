"""The workspaces of conversations, as one caller sees them. A stopped conversation's session is revived for them."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.microagents import Microagent


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadLimits:
    """How much one upload may bring: bytes of each file, and files."""

    file_bytes: int = 100 << 20
    files: int = 100


@dataclass(frozen=True, slots=True)
class SkippedUpload:
    """A file that was sent and not taken, and why, for people."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file by its path from the workspace, and what became of it: A(dded), M(odified), D(eleted), R(enamed),
    U(nmerged). `old_path` is the name before it was renamed."""

    path: str
    status: str
    old_path: str | None = None


@dataclass(frozen=True, slots=True)
class FileDiff:
    """A file as it was and as it is; empty where there was, or is, none."""

    original: str
    modified: str


class Workspaces(Protocol):
    """Paths are the wire's: `/workspace/…`, or relative to it. Every call raises NotFound for an id that is unknown,
    deleted or someone else's, AtCapacity, PathRefused, and what the session cannot be set up for."""

    limits: UploadLimits

    async def list_files(self, sid: ConversationId, path: str = "") -> Sequence[str]:
        """The names in a folder; folders end with `/`."""

    async def read_text(self, sid: ConversationId, path: str) -> str:
        """A text file. Raises FileProblem, NotText, TooLarge."""

    async def upload(self, sid: ConversationId, name: str, chunks: AsyncIterator[bytes]) -> str | SkippedUpload:
        """Put a file into the workspace, replacing one of that name; where it lies then."""

    def archive(self, sid: ConversationId, path: str = "") -> AsyncGenerator[bytes, None]:
        """A folder as a zip file, in chunks. Close it."""

    async def changes(self, sid: ConversationId) -> Sequence[FileChange]:
        """What differs from the branch as it was fetched, or from the last commit where nothing was, in all
        repositories of the workspace. Raises NoRepository."""

    async def diff(self, sid: ConversationId, path: str) -> FileDiff:
        """Raises NoRepository, NotText, TooLarge, and NotFound for a file that neither was nor is there."""

    async def microagents(self, sid: ConversationId) -> Sequence[Microagent]:
        """What the workspace's own files of knowledge say at this moment."""
