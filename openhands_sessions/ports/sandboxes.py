"""The sandboxes of a server, for its operator."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.runtime import Runtimes


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxInfo:
    """One sandbox. `conversation` is None where it serves all of them; `status` is the kind's own term; `why` says for
    users why it is kept, or removed."""

    name: str
    conversation: ConversationId | None
    status: str
    keep: bool
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One requirement of sandboxes. `found` is its state; `problem` is advice, empty where all is well. Where a `vital`
    check fails there are no sandboxes, otherwise they lack something."""

    name: str
    found: str
    problem: str = ""
    vital: bool = True


class Sandboxes(Protocol):
    """All methods concern only sandboxes of this server's data folder. They raise RuntimeUnavailable, StorageError."""

    async def survey(self) -> Sequence[SandboxInfo]:
        """All sandboxes; changes none."""

    async def reap(self) -> Sequence[SandboxInfo]:
        """Remove the sandboxes that no conversation needs, and return them."""

    async def clear(self) -> Sequence[SandboxInfo]:
        """Remove and return all sandboxes, also those at work, and what they share: networks, firewall rules.
        Workspaces are kept. No server may have the data folder open."""


class LastingRuntimes(Runtimes, Sandboxes, Protocol):
    """Runtimes whose sandboxes outlive the server."""
