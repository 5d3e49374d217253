"""The methods of a session that number places in its dialogue, and compare it with another, each with its twin."""

from typing import Any

from openhands_sessions.ports.conversations import DialogueDiff
from openhands_sessions.sdk.lazy_conversation import LazyConversation
from openhands_sessions.sdk.private_loop import arrive, wait_for


class VersionMethods(LazyConversation):
    """Versions are checkpoints that are named by numbers."""

    def save_version(self, description: str = "") -> int:
        """Number the place after the newest turn: 0, then 1, … Raises NotFound where nothing was said yet."""
        return wait_for(self._moves(lambda it: it.save_version(description)), "save_version")

    async def asave_version(self, description: str = "") -> int:
        """As `save_version`."""
        return await arrive(self._moves(lambda it: it.save_version(description)))

    def restore_version(self, version: int) -> bool:
        """Go on from a version; False where there is none of this number. Nothing is erased: what is left is a branch.
        Raises SessionBusy while a turn runs."""
        return wait_for(self._moves(lambda it: it.restore_version(version)), "restore_version")

    async def arestore_version(self, version: int) -> bool:
        """As `restore_version`."""
        return await arrive(self._moves(lambda it: it.restore_version(version)))

    def list_versions(self) -> list[dict[str, Any]]:
        """`version`, `description` and `timestamp` of each, ISO 8601, UTC: when its newest turn ended."""
        return wait_for(self._moves(lambda it: it.list_versions()), "list_versions")

    async def alist_versions(self) -> list[dict[str, Any]]:
        """As `list_versions`."""
        return await arrive(self._moves(lambda it: it.list_versions()))

    def diff(self, other: LazyConversation | str) -> DialogueDiff:
        """The turns that only this dialogue has, `ours`, or only that of another session or branch, `theirs`, and how
        many both begin with. Raises BadInput for an unknown branch."""
        named = other if isinstance(other, str) else other.opening
        return wait_for(self._moves(lambda it: it.diff(named)), "diff")

    async def adiff(self, other: LazyConversation | str) -> DialogueDiff:
        """As `diff`."""
        named = other if isinstance(other, str) else other.opening
        return await arrive(self._moves(lambda it: it.diff(named)))
