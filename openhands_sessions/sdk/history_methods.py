"""The methods of a session that move through its history, each with its async twin."""

from dataclasses import replace
from typing import Self

from openhands_sessions.core.lineage import Checkpoint
from openhands_sessions.sdk.lazy_conversation import LazyConversation
from openhands_sessions.sdk.opening import Place
from openhands_sessions.sdk.private_loop import arrive, wait_for
from openhands_sessions.sdk.results import MergeResult
from openhands_sessions.sdk.session_ids import session_id, stored_id
from openhands_sessions.sdk.state_merge import OnConflict, StateMerge, checked_choice


class HistoryMethods(LazyConversation):
    """Checkpoints, undo and branches: nothing is erased, and what is left stays as a branch."""

    def create_checkpoint(self, label: str | None = None, *, description: str = "") -> Checkpoint:
        """Name the place after the newest turn, also where that still runs; without a label it gets a number. Raises
        BadInput where the label is taken."""
        return wait_for(self._moves(lambda it: it.create_checkpoint(label, description)), "create_checkpoint")

    async def acreate_checkpoint(self, label: str | None = None, *, description: str = "") -> Checkpoint:
        """As `create_checkpoint`."""
        return await arrive(self._moves(lambda it: it.create_checkpoint(label, description)))

    def restore_checkpoint(self, checkpoint: Place, *, branch: str | None = None) -> None:
        """Go on from a checkpoint, given itself, by its label or its number. Nothing is erased: what is left is a
        branch, called `branch` or by a number. Raises SessionBusy while a turn runs, BadInput."""
        wait_for(self._moves(lambda it: it.restore(checkpoint, branch)), "restore_checkpoint")

    async def arestore_checkpoint(self, checkpoint: Place, *, branch: str | None = None) -> None:
        """As `restore_checkpoint`."""
        await arrive(self._moves(lambda it: it.restore(checkpoint, branch)))

    def checkpoints(self) -> list[Checkpoint]:
        """Oldest first."""
        return wait_for(self._moves(lambda it: it.checkpoints()), "checkpoints")

    async def acheckpoints(self) -> list[Checkpoint]:
        """As `checkpoints`."""
        return await arrive(self._moves(lambda it: it.checkpoints()))

    def undo(self, turns: int = 1, *, branch: str | None = None) -> None:
        """Take the newest turns back; they stay as a branch. Raises as `restore_checkpoint`."""
        wait_for(self._moves(lambda it: it.undo(turns, branch)), "undo")

    async def aundo(self, turns: int = 1, *, branch: str | None = None) -> None:
        """As `undo`."""
        await arrive(self._moves(lambda it: it.undo(turns, branch)))

    def branch(self, name: str, *, at: Place | None = None) -> None:
        """Go on, on a new branch, from here or from a checkpoint. Raises as `restore_checkpoint`."""
        wait_for(self._moves(lambda it: it.branch(name, at)), "branch")

    async def abranch(self, name: str, *, at: Place | None = None) -> None:
        """As `branch`."""
        await arrive(self._moves(lambda it: it.branch(name, at)))

    def switch(self, branch: str) -> None:
        """Go on at the end of another branch. Raises as `restore_checkpoint`."""
        wait_for(self._moves(lambda it: it.switch(branch)), "switch")

    async def aswitch(self, branch: str) -> None:
        """As `switch`."""
        await arrive(self._moves(lambda it: it.switch(branch)))

    def branches(self) -> list[str]:
        """The names of the branches, that of the present one first."""
        return wait_for(self._moves(lambda it: it.branches()), "branches")

    async def abranches(self) -> list[str]:
        """As `branches`."""
        return await arrive(self._moves(lambda it: it.branches()))

    def delete_branch(self, name: str) -> None:
        """Take the name of another branch away; what was said there stays in the log. Raises BadInput for a name that
        no branch has, for that of the present one, and for `main`."""
        wait_for(self._moves(lambda it: it.delete_branch(name)), "delete_branch")

    async def adelete_branch(self, name: str) -> None:
        """As `delete_branch`."""
        await arrive(self._moves(lambda it: it.delete_branch(name)))

    def fork(self, new_id: str, *, at: Place | None = None) -> Self:
        """Make a session of this id that goes on from a copy of the dialogue, or of its part up to a checkpoint; both
        go on apart from each other. The same again changes nothing. Raises BadInput, NotFound where nothing was said
        yet, AlreadyExists where the id is another session's."""
        name = session_id(new_id)
        wait_for(self._moves(lambda it: it.fork(stored_id(name), name, at)), "fork")
        return self._sibling(name)

    async def afork(self, new_id: str, *, at: Place | None = None) -> Self:
        """As `fork`."""
        name = session_id(new_id)
        await arrive(self._moves(lambda it: it.fork(stored_id(name), name, at)))
        return self._sibling(name)

    def merge(
        self, other: LazyConversation | str, *, left: str | None = None, on_conflict: OnConflict = "ours"
    ) -> MergeResult:
        """Go on with the turns of this dialogue and of another one that began alike, a session or a branch: those that
        both have once, the others in the order in which they ended. Merging again adds nothing. What is left is a
        branch, called `left` or by a number. Raises BadInput for what is not related, SessionBusy while a turn runs.

        From the state of another session, what it alone has changed since the fork is taken over. A key that both have
        changed has the value that `on_conflict` says: ours, theirs, that of the latest change, or what a function makes
        of the key, the value at the fork, ours and theirs, None for one that is not there; with "error",
        RevisionConflict is raised before anything is merged."""
        return wait_for(self._merge(other, left, on_conflict), "merge")

    async def amerge(
        self, other: LazyConversation | str, *, left: str | None = None, on_conflict: OnConflict = "ours"
    ) -> MergeResult:
        """As `merge`."""
        return await arrive(self._merge(other, left, on_conflict))

    def merge_sessions(self, other: LazyConversation, *, on_conflict: OnConflict = "ours") -> Self:
        """A new session with the turns and the state of this one and of another one; both stay as they are. Its id is
        this one's with `_merged` behind it, and a number where that is taken. Raises as `merge`."""
        return wait_for(self._merged(other, on_conflict), "merge_sessions")

    async def amerge_sessions(self, other: LazyConversation, *, on_conflict: OnConflict = "ours") -> Self:
        """As `merge_sessions`."""
        return await arrive(self._merged(other, on_conflict))

    async def _merged(self, other: LazyConversation, on_conflict: OnConflict) -> Self:
        name = await self._moves(lambda it: it.free_id(f"{self.session_id}_merged"))
        await self._moves(lambda it: it.fork(stored_id(name), session_id(name), None))
        made = self._sibling(name)
        await made._merge(other, None, on_conflict, began=self)
        return made

    async def _merge(
        self,
        other: LazyConversation | str,
        left: str | None,
        on_conflict: OnConflict,
        began: LazyConversation | None = None,
    ) -> MergeResult:
        """`began` is the session that this one is a copy of, where that is to be compared with the other one."""
        checked_choice(on_conflict)
        if isinstance(other, str):
            return await self._moves(lambda it: it.merge(other, left))
        ours, theirs, first = [(await each._calls()).states["session"] for each in (self, other, began or self)]
        merge = StateMerge(ours, theirs, self.opening.sid, began=first)
        if on_conflict == "error":
            await self._moves(lambda it: it.diff(other.opening))  # what is not related is refused as that
            await merge.check()
        done = await self._moves(lambda it: it.merge(other.opening, left))
        return replace(done, state_conflicts=await merge.carry_out(on_conflict))
