"""Every action by its key: none is done twice, and what became of each can be told."""

from __future__ import annotations

import asyncio
from typing import Awaitable, Callable

from .cells import Cells
from .command import Action, Command
from .editor import Edit, Editor
from .frames import Refusal
from .journal import DONE, FORGOTTEN, Journal, Outcome
from .order import BUSY, INTERRUPTED, KILLED, WAITING, Ending, Order
from .output import Capture
from .shell import Shell
from .workspace import Workspace

_LIVE_LIMIT = 64
_TO_SAY = "the action was begun by an executor that is gone, or its result is no longer kept: its outcome is unknown"


class Actions:
    """What was, is and will be done. Commands and input take turns in the shell; edits wait for nobody."""

    def __init__(
        self,
        journal: Journal,
        shell: Shell,
        editor: Editor,
        workspace: Workspace,
        new_capture: Callable[[], Capture],
        *,
        cells: Cells,
    ) -> None:
        self._cells = cells
        self._journal = journal
        self._shell = shell
        self._editor = editor
        self._workspace = workspace
        self._new_capture = new_capture
        self._live: dict[str, Action] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._command: Command | None = None  # the last one, until its end was told
        self._unwritten: dict[str, Outcome] = {}  # outcomes that a full disk did not take
        self.on_change: Callable[[], None] = lambda: None

        self.closing = False
        """Nothing more is begun."""

    @property
    def idle(self) -> bool:
        return not self._live and (self._command is None or not self._command.running)

    @property
    def journal(self) -> str:
        """The name of the journal that knows of them."""
        return self._journal.name

    def live(self, key: str) -> Action | None:
        return self._live.get(key)

    def outcome(self, key: str) -> Outcome | None:
        """The outcome of an action that has ended; None for an unknown or a running one. Raises Refusal `lost`."""
        if key in self._unwritten:
            return self._unwritten[key]
        if key in self._live:
            return None
        state = self._journal.state(key)
        if state == FORGOTTEN:
            raise Refusal("lost", _TO_SAY)
        return self._journal.outcome(key) if state == DONE else None

    def run(self, order: Order, patience: float | None) -> Action:
        """Let a command run when its turn comes. The key must be new."""
        return self._queued(order.key, lambda action: self._run(order, action, patience))

    def cell(self, order: Order) -> Action:
        """Let a cell of Python run when its turn comes. The key must be new."""
        return self._queued(order.key, lambda action: self._run_cell(order, action))

    def give_input(self, key: str, text: str, patience: float | None) -> Action:
        """Type for the command that was let go of, and attend it, when the turn comes. The key must be new."""
        return self._queued(key, lambda action: self._type(key, text, action, patience))

    def edit(self, key: str, edit: Edit) -> Outcome:
        """Carry out an edit. The key must be new."""
        self._begin(key)
        outcome = self._editor.apply(edit)
        self._keep(key, outcome)
        return outcome

    def interrupt(self, key: str) -> None:
        """End it; one that was never heard of will never be run."""
        action = self._live.get(key)
        if action is not None:
            action.end(INTERRUPTED)
        elif self._command is not None and self._command.running and key in self._command.keys:
            self._command.end(INTERRUPTED)
        elif self._journal.state(key) is None and key not in self._unwritten:
            self._keep(key, self._not_run(INTERRUPTED))

    async def close(self) -> None:
        """End all that runs or waits, and keep its outcomes."""
        self.closing = True
        for action in self._live.values():
            action.end(KILLED)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._command is not None:
            self._command.end(KILLED)
            await self._command.ended()

    def _queued(self, key: str, work: Callable[[Action], Awaitable[Outcome]]) -> Action:
        if len(self._live) >= _LIVE_LIMIT:
            raise Refusal("busy", "too many commands are waiting for the shell")
        action = self._live[key] = Action(self._new_capture())
        task = asyncio.get_event_loop().create_task(self._take_turn(key, action, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return action

    async def _take_turn(self, key: str, action: Action, work: Callable[[Action], Awaitable[Outcome]]) -> None:
        result: Outcome | Refusal = Refusal("internal", "the executor failed")
        try:
            async with self._turn:
                result = await work(action)
            self._keep(key, result)
        except Refusal as refusal:
            result = refusal
        finally:
            del self._live[key]
            action.finish(result)
            self.on_change()

    async def _run(self, order: Order, action: Action, patience: float | None) -> Outcome:
        if action.stop.done():
            return self._not_run(action.stop.result())
        if self._command is not None and self._command.stopping:
            await self._command.ended()
        if self._command is not None and self._command.running:
            return self._not_run(BUSY)
        self._begin(order.key)
        self._command = Command(order, self._shell, self._new_capture)
        self._command.on_end(lambda: self.on_change())
        return await self._attend(self._command, order.key, action, patience)

    async def _run_cell(self, order: Order, action: Action) -> Outcome:
        if action.stop.done():
            return self._not_run(action.stop.result())
        self._begin(order.key)
        try:
            ending = await self._cells.run(order, action.add, action.stop)
        except OSError as error:
            return self._not_run(KILLED, f"Python could not be started: {error.strerror}.\n")
        return self._told(ending, action.capture)

    async def _type(self, key: str, text: str, action: Action, patience: float | None) -> Outcome:
        command = self._command
        if command is None:
            return self._not_run(action.stop.result() if action.stop.done() else BUSY)
        self._begin(key)
        if text and command.running and not action.stop.done():
            await self._shell.send_input(text)
        return await self._attend(command, key, action, patience)

    async def _attend(self, command: Command, key: str, action: Action, patience: float | None) -> Outcome:
        try:
            ending = await command.attended(key, action, patience)
        except OSError as error:
            self._command = None
            return self._not_run(KILLED, f"The command could not be begun: {error.strerror}.\n")
        if ending is None:
            return self._told(Ending(WAITING, None, self._shell.pid), action.capture)
        self._command = None
        return self._told(ending, action.capture)

    def _told(self, ending: Ending, capture: Capture) -> Outcome:
        output, omitted = capture.text()
        outcome = self._not_run(ending.how, output)
        outcome.update(exit_code=ending.exit_code, pid=ending.pid, omitted=omitted)
        return outcome

    def _begin(self, key: str) -> None:
        try:
            self._journal.start(key)
        except OSError as error:
            raise Refusal("storage", f"the sandbox's disk refuses to write: {error.strerror}") from error

    def _keep(self, key: str, outcome: Outcome) -> None:
        try:
            self._journal.finish(key, outcome)
        except OSError:
            self._unwritten[key] = outcome  # it is true all the same, and may be told for as long as we live

    def _not_run(self, how: str, output: str = "") -> Outcome:
        return {
            "kind": "command",
            "output": output,
            "exit_code": None,
            "ended": how,
            "pid": -1,
            "working_dir": self._workspace.named(self._shell.folder),
            "omitted": 0,
        }
