"""Every action by its key: none is done twice, and what became of each can be told."""

from __future__ import annotations

import asyncio
from typing import Callable

from .editor import Edit, Editor
from .frames import Refusal
from .journal import DONE, FORGOTTEN, Journal, Outcome
from .order import INTERRUPTED, KILLED, Ending, Order
from .output import Capture, Listener
from .shell import Shell
from .workspace import Workspace

_LIVE_LIMIT = 64
_TO_SAY = "the action was begun by an executor that is gone, or its result is no longer kept: its outcome is unknown"


class Action:
    """A command that runs, or waits for its turn. `done` gives its outcome, or the refusal to begin it."""

    def __init__(self, capture: Capture) -> None:
        loop = asyncio.get_event_loop()
        self.capture = capture
        self.done: asyncio.Future[Outcome | Refusal] = loop.create_future()
        self.stop: asyncio.Future[str] = loop.create_future()
        self._listeners: set[Listener] = set()

    def listen(self) -> Listener:
        """A place in the output, at its present end."""
        listener = Listener(self.capture.total)
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def add(self, data: bytes) -> None:
        self.capture.add(data)
        for listener in self._listeners:
            listener.add(data)

    def end(self, reason: str) -> None:
        if not self.stop.done():
            self.stop.set_result(reason)

    def finish(self, outcome: Outcome | Refusal) -> None:
        self.done.set_result(outcome)
        for listener in self._listeners:
            listener.end()


class Actions:
    """What was, is and will be done. Commands take turns in the shell; edits wait for nobody."""

    def __init__(
        self, journal: Journal, shell: Shell, editor: Editor, workspace: Workspace, new_capture: Callable[[], Capture]
    ) -> None:
        self._journal = journal
        self._shell = shell
        self._editor = editor
        self._workspace = workspace
        self._new_capture = new_capture
        self._live: dict[str, Action] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._unwritten: dict[str, Outcome] = {}  # outcomes that a full disk did not take
        self.on_change: Callable[[], None] = lambda: None

    @property
    def idle(self) -> bool:
        return not self._live

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

    def run(self, order: Order) -> Action:
        """Let a command run when its turn comes. The key must be new."""
        if len(self._live) >= _LIVE_LIMIT:
            raise Refusal("busy", "too many commands are waiting for the shell")
        action = self._live[order.key] = Action(self._new_capture())
        task = asyncio.get_event_loop().create_task(self._take_turn(order, action))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return action

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
        elif self._journal.state(key) is None and key not in self._unwritten:
            self._keep(key, self._not_run(INTERRUPTED))

    async def close(self) -> None:
        """End all that runs or waits, and keep its outcomes."""
        for action in self._live.values():
            action.end(KILLED)
        tasks: list[asyncio.Task[None]] = list(self._tasks)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take_turn(self, order: Order, action: Action) -> None:
        result: Outcome | Refusal = Refusal("internal", "the executor failed")
        try:
            async with self._turn:
                result = await self._run(order, action)
        except Refusal as refusal:
            result = refusal
        finally:
            del self._live[order.key]
            action.finish(result)
            self.on_change()

    async def _run(self, order: Order, action: Action) -> Outcome:
        if action.stop.done():
            outcome = self._not_run(action.stop.result())
        else:
            self._begin(order.key)
            try:
                outcome = self._told(await self._shell.run(order, action.add, action.stop), action.capture)
            except OSError as error:
                outcome = self._not_run(KILLED, f"The command could not be begun: {error.strerror}.\n")
        self._keep(order.key, outcome)
        return outcome

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
