"""The sandboxes of a server as its operator sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.runtime import Runtimes


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxInfo:
    """One sandbox and its fate. `conversation` is None for what serves all of them; `status` is the kind's own word;
    `why` says for people why it is kept, or goes."""

    name: str
    conversation: ConversationId | None
    status: str
    keep: bool
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that sandboxes need. `found` says how it is; `problem` what to do, empty where all is well. Without
    what is `vital` there are no sandboxes, without the rest they lack something."""

    name: str
    found: str
    problem: str = ""
    vital: bool = True


class Sandboxes(Protocol):
    """All see what this server's data folder has made, and nothing else. Raise RuntimeUnavailable, StorageError."""

    async def survey(self) -> Sequence[SandboxInfo]:
        """Every sandbox there is, without changing any."""

    async def reap(self) -> Sequence[SandboxInfo]:
        """Remove those that nobody owns, and return them."""

    async def clear(self) -> Sequence[SandboxInfo]:
        """Remove all of them, at work or not, and what they share: networks, firewall rules. Workspaces stay. Returns
        what was removed. No server may have the data folder open."""


class LastingRuntimes(Runtimes, Sandboxes, Protocol):
    """Runtimes whose sandboxes outlive the server, so that somebody must keep a list of them."""
