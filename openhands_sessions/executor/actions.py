"""Every action by its key: none runs twice, and the status of each is known."""

from __future__ import annotations

import asyncio
from typing import Awaitable, Callable

from .capture import OutputCapture
from .command import ActiveAction, ShellCommand
from .editor import Edit, TextEditor
from .frames import RequestRefused
from .ipython import IPythonCells
from .journal import DONE, FORGOTTEN, Journal, Outcome
from .masking import TextMasker
from .processes import BUSY, INTERRUPTED, KILLED, PROMPT, WAITING, CommandRequest, ExitStatus
from .shell import Shell
from .workspace import WorkspaceFolder

_ACTIVE_LIMIT = 64
_SECRETS_KEPT = 1000
_WORDS = ("kind", "ended")
"""What an outcome says in words of the protocol."""
_TO_SAY = "the action was begun by an executor that is gone, or its result is no longer kept: its outcome is unknown"


class Actions:
    """The finished, running and waiting actions. Commands, cells and input take turns in the shell; edits run at
    once. Every outcome is masked before it is recorded, and returned as it is recorded."""

    def __init__(
        self,
        journal: Journal,
        shell: Shell,
        editor: TextEditor,
        workspace: WorkspaceFolder,
        new_capture: Callable[[], OutputCapture],
        *,
        cells: IPythonCells,
    ) -> None:
        self._cells = cells
        self._journal = journal
        self._shell = shell
        self._editor = editor
        self._workspace = workspace
        self._new_capture = new_capture
        self.journal = journal.name
        """The name of the journal."""
        self.active: dict[str, ActiveAction] = {}
        """The running and waiting actions by their keys."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._command: ShellCommand | None = None  # the last one, until its exit status is returned
        self._unwritten: dict[str, Outcome] = {}  # outcomes that could not be written to a full disk
        self._secrets: dict[str, None] = {}  # the newest first
        self._masker = TextMasker()
        self.on_change: Callable[[], None] = lambda: None

        self.closing = False
        """No action is started any more."""

    @property
    def idle(self) -> bool:
        return not self.active and (self._command is None or not self._command.running)

    def outcome(self, key: str) -> Outcome | None:
        """The outcome of an action that has ended; None for an unknown or a running one. Raises Refusal `lost`."""
        if key in self._unwritten:
            return self._unwritten[key]
        if key in self.active:
            return None
        state = self._journal.state(key)
        if state == FORGOTTEN:
            raise RequestRefused("lost", _TO_SAY)
        return self._journal.outcome(key) if state == DONE else None

    def hide(self, secrets: list[str]) -> None:
        """Mask these, too, in all outcomes from now on. Earlier ones stay hidden: a command that runs may know them."""
        known = dict.fromkeys([*secrets, *self._secrets][:_SECRETS_KEPT])
        if known.keys() != self._secrets.keys():
            self._masker = TextMasker(known)
        self._secrets = known

    def run(self, request: CommandRequest, patience: float | None) -> ActiveAction:
        """Queue a command. The key must be new."""
        return self._queued(request.key, lambda action: self._run(request, action, patience))

    def cell(self, request: CommandRequest) -> ActiveAction:
        """Queue a cell of Python. The key must be new."""
        return self._queued(request.key, lambda action: self._run_cell(request, action))

    def give_input(self, key: str, text: str, patience: float | None) -> ActiveAction:
        """Queue input for the command that runs on, and wait for it again. The key must be new."""
        return self._queued(key, lambda action: self._send_input(key, text, action, patience))

    def edit(self, key: str, edit: Edit) -> Outcome:
        """Run an edit. The key must be new."""
        self._record_start(key)
        return self._record(key, self._editor.apply(edit))

    def interrupt(self, key: str) -> None:
        """End an action. An unknown one is recorded as never to be run."""
        action = self.active.get(key)
        if action is not None:
            action.end(INTERRUPTED)
        elif self._command is not None and self._command.running and key in self._command.keys:
            self._command.end(INTERRUPTED)
        elif self._journal.state(key) is None and key not in self._unwritten:
            self._record(key, self._not_run(INTERRUPTED))

    async def close(self) -> None:
        """End all running and waiting actions, and record their outcomes."""
        self.closing = True
        for action in self.active.values():
            action.end(KILLED)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._command is not None:
            self._command.end(KILLED)
            await self._command.ended()

    def _queued(self, key: str, work: Callable[[ActiveAction], Awaitable[Outcome]]) -> ActiveAction:
        if len(self.active) >= _ACTIVE_LIMIT:
            raise RequestRefused("busy", "too many commands are waiting for the shell")
        action = self.active[key] = ActiveAction(self._new_capture())
        task = asyncio.get_event_loop().create_task(self._take_turn(key, action, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return action

    async def _take_turn(
        self, key: str, action: ActiveAction, work: Callable[[ActiveAction], Awaitable[Outcome]]
    ) -> None:
        result: Outcome | RequestRefused = RequestRefused("internal", "the executor failed")
        try:
            async with self._turn:
                result = await work(action)
            result = self._record(key, result)
        except RequestRefused as refusal:
            result = refusal
        finally:
            del self.active[key]
            action.finish(result)
            self.on_change()

    async def _run(self, request: CommandRequest, action: ActiveAction, patience: float | None) -> Outcome:
        if action.stop.done():
            return self._not_run(action.stop.result())
        if self._command is not None and self._command.stopping:
            await self._command.ended()
        if self._command is not None and self._command.running:
            return self._not_run(BUSY)
        self._record_start(request.key)
        self._command = ShellCommand(request, self._shell, self._new_capture)
        self._command.ending.add_done_callback(lambda _: self.on_change())
        return await self._wait_for_command(self._command, request.key, action, patience)

    async def _run_cell(self, request: CommandRequest, action: ActiveAction) -> Outcome:
        if action.stop.done():
            return self._not_run(action.stop.result())
        self._record_start(request.key)
        try:
            ending = await self._cells.run(request, action.add, action.stop)
        except OSError as error:
            return self._not_run(KILLED, f"Python could not be started: {error.strerror}.\n")
        return self._outcome_of(ending, action.capture)

    async def _send_input(self, key: str, text: str, action: ActiveAction, patience: float | None) -> Outcome:
        command = self._command
        if command is None:
            return self._not_run(action.stop.result() if action.stop.done() else BUSY)
        self._record_start(key)
        if text and command.running and not action.stop.done():
            await command.type(text)
        return await self._wait_for_command(command, key, action, patience)

    async def _wait_for_command(
        self, command: ShellCommand, key: str, action: ActiveAction, patience: float | None
    ) -> Outcome:
        try:
            ending = await command.wait_for(key, action, patience)
        except OSError as error:
            self._command = None
            return self._not_run(KILLED, f"The command could not be begun: {error.strerror}.\n")
        if ending.reason not in (PROMPT, WAITING):
            self._command = None
        return self._outcome_of(ending, action.capture)

    def _outcome_of(self, ending: ExitStatus, capture: OutputCapture) -> Outcome:
        output, omitted = capture.text(self._masker)
        outcome = self._not_run(ending.reason, output)
        outcome.update(exit_code=ending.exit_code, pid=ending.pid, omitted=omitted)
        return outcome

    def _record_start(self, key: str) -> None:
        try:
            self._journal.start(key)
        except OSError as error:
            raise RequestRefused("storage", f"the sandbox's disk refuses to write: {error.strerror}") from error

    def _record(self, key: str, outcome: Outcome) -> Outcome:
        """The outcome as it is recorded."""
        masked = {
            name: self._masker.text(value) if isinstance(value, str) and name not in _WORDS else value
            for name, value in outcome.items()
        }
        try:
            self._journal.finish(key, masked)
        except OSError:
            self._unwritten[key] = masked  # known only as long as this process lives
        return masked

    def _not_run(self, reason: str, output: str = "") -> Outcome:
        return {
            "kind": "command",
            "output": output,
            "exit_code": None,
            "ended": reason,
            "pid": -1,
            "working_dir": self._workspace.named(self._shell.folder),
            "omitted": 0,
        }
