"""The handlers of all requests: each checks its request, runs it, and returns the answer."""

from __future__ import annotations

import asyncio
import base64
import os
import re

from .actions import Actions
from .chunks import ArchiveTooLarge, FileStreams
from .command import ActiveAction
from .editor import Edit
from .frames import Message, RequestRefused, Send, optional_int, optional_seconds, optional_text, text_of
from .pipes import LinePiece
from .processes import CommandRequest
from .programs import Program, ProgramRunner
from .shell import Shell
from .workspace import OutsidePath, UnfitFile, WorkspaceFolder

READ_LIMIT = 4 << 20
_QUERY_SECONDS = 30.0
_ENVIRONMENT_LIMIT = 32 << 10
_KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class RequestHandlers:
    """The handlers by the name of the request (`op`)."""

    def __init__(self, actions: Actions, shell: Shell, workspace: WorkspaceFolder, programs: ProgramRunner) -> None:
        self._actions = actions
        self._programs = programs
        self._shell = shell
        self._workspace = workspace
        self._streams = FileStreams(workspace)
        self._named = {
            "perform": self._perform,
            "inquire": self._inquire,
            "interrupt": self._interrupt,
            "input": self._input,
            "read": self._read,
            "write": self._write,
            "list": self._list,
            "stream": self._stream,
            "stream_step": self._stream_step,
            "stream_end": self._stream_end,
            "query": self._query,
            "pipe": self._pipe,
            "pipe_line": self._pipe_line,
            "pipe_read": self._pipe_read,
            "status": self._status,
        }

    async def answer(self, message: Message, send: Send) -> Message:
        """Run a request; `send` sends chunks before the answer. Raises RequestRefused."""
        carry_out = self._named.get(text_of(message, "op"))
        if carry_out is None:
            raise RequestRefused("bad_request", "there is no such request")
        try:
            return await carry_out(message, send)
        except OutsidePath as error:
            raise RequestRefused("path_refused", str(error)) from error
        except UnfitFile as error:
            raise RequestRefused("file_problem", str(error)) from error
        except ArchiveTooLarge as error:
            raise RequestRefused("too_large", str(error)) from error

    async def _perform(self, message: Message, send: Send) -> Message:
        """Run an action, or join it, or return its recorded `outcome`; before that `piece`s of its output from `from`
        on. The `secrets` are masked in the outcome, not in the pieces."""
        key = _key(message)
        self._actions.hide(_texts(message, "secrets"))
        outcome = self._actions.outcome(key)
        action = self._actions.active.get(key)
        if outcome is None and action is None:
            if self._actions.closing:
                # The connection ends soon, and the owner asks the next executor.
                await asyncio.get_event_loop().create_future()
            task = message.get("task")
            if not isinstance(task, dict):
                raise RequestRefused("bad_request", "task must be an object")
            if task.get("kind") == "edit":
                outcome = self._actions.edit(key, _edit(task))
            else:
                action = self._start_action(key, task)
        if action is not None:
            outcome = await action.follow(optional_int(message, "from") or 0, send)
        return {"outcome": outcome}

    def _start_action(self, key: str, task: Message) -> ActiveAction:
        patience = optional_seconds(task, "patience")
        if task.get("kind") == "input":
            return self._actions.give_input(key, text_of(task, "text"), patience)
        if task.get("kind") == "cell":
            return self._actions.cell(self._order(key, task))
        return self._actions.run(self._order(key, task), patience)

    async def _inquire(self, message: Message, send: Send) -> Message:
        key = _key(message)
        try:
            outcome = self._actions.outcome(key)
        except RequestRefused as refusal:
            return {"state": refusal.code}
        if outcome is not None:
            return {"state": "done", "outcome": outcome}
        state = "running" if key in self._actions.active else "unknown"
        return {"state": state, "journal": self._actions.journal}

    async def _interrupt(self, message: Message, send: Send) -> Message:
        self._actions.interrupt(_key(message))
        return {}

    async def _input(self, message: Message, send: Send) -> Message:
        return {"taken": await self._shell.send_input(text_of(message, "text"))}

    async def _read(self, message: Message, send: Send) -> Message:
        limit = optional_int(message, "limit")
        limit = READ_LIMIT if limit is None else max(0, min(limit, READ_LIMIT))
        return {"content": base64.b64encode(self._workspace.read(text_of(message, "path"), limit=limit)).decode()}

    async def _write(self, message: Message, send: Send) -> Message:
        self._workspace.write(text_of(message, "path"), _decoded(text_of(message, "content")))
        return {}

    async def _list(self, message: Message, send: Send) -> Message:
        return {"names": self._workspace.names(text_of(message, "path"))}

    async def _stream(self, message: Message, send: Send) -> Message:
        """Open a file under a `name`: to `read`, to `write`, or a folder as `zip`; answered when it is closed."""
        await self._streams.keep_open(_key(message, "name"), text_of(message, "kind"), text_of(message, "path"), send)
        return {}

    async def _stream_step(self, message: Message, send: Send) -> Message:
        """Write or read one chunk: `content`, null at the end."""
        given = optional_text(message, "content")
        piece = await self._streams.step(_key(message, "name"), None if given is None else _decoded(given))
        return {"content": None if piece is None else base64.b64encode(piece).decode()}

    async def _stream_end(self, message: Message, send: Send) -> Message:
        """Close a file before its end; the request that opened it is answered then."""
        self._streams.end(_key(message, "name"))
        return {}

    async def _status(self, message: Message, send: Send) -> Message:
        """`idle`: nothing runs or waits, so the sandbox may be paused; and the journal's name."""
        return {"idle": self._actions.idle, "journal": self._actions.journal}

    async def _query(self, message: Message, send: Send) -> Message:
        """Run a program that changes nothing; owners may repeat the request."""
        timeout = optional_seconds(message, "timeout") or _QUERY_SECONDS
        limit = optional_int(message, "limit")
        limit = READ_LIMIT if limit is None else max(0, min(limit, READ_LIMIT))
        try:
            code, printed = await self._programs.query(self._program(message), timeout, limit)
        except OSError as error:
            return {"exit_code": None, "printed": "", "problem": os.strerror(error.errno or 0)}
        return {"exit_code": code, "printed": base64.b64encode(printed).decode()}

    async def _pipe(self, message: Message, send: Send) -> Message:
        """Run a program until it ends; on the way `piece`s of the lines that it prints, and with a `window` no more
        than so many characters ahead of `pipe_read`. The answer has the keys of the lines that it left `unread`."""
        window = optional_int(message, "window")
        try:
            code, unread = await self._programs.run(_key(message, "name"), self._program(message), send, window)
        except OSError as error:
            return {"exit_code": None, "problem": os.strerror(error.errno or 0)}
        return {"exit_code": code, "unread": unread}

    async def _pipe_line(self, message: Message, send: Send) -> Message:
        """Give a program a line, or with `more` a piece of one that begins `at` a character."""
        piece = LinePiece(
            text=text_of(message, "text"),
            at=optional_int(message, "at") or 0,
            more=message.get("more") is True,
            key=optional_text(message, "key") or "",
        )
        return {"taken": await self._programs.write(_key(message, "name"), piece)}

    async def _pipe_read(self, message: Message, send: Send) -> Message:
        self._programs.grant(_key(message, "name"), optional_int(message, "room") or 0)
        return {}

    def _program(self, message: Message) -> Program:
        words = _texts(message, "words")
        if not words or any("\0" in word for word in words):
            raise RequestRefused("bad_request", "words must be one or more texts without NUL")
        folder = self._real_folder(text_of(message, "cwd") if "cwd" in message else ".")
        return Program(words, folder or ".", _environment(message.get("environment")))

    def _order(self, key: str, task: Message) -> CommandRequest:
        command = text_of(task, "command")
        if "\0" in command:
            raise RequestRefused("bad_request", "a command cannot hold NUL")
        return CommandRequest(
            key=key,
            command=command,
            timeout=optional_seconds(task, "timeout"),
            cwd=self._real_folder(optional_text(task, "cwd")),
            environment=_environment(task.get("environment")),
        )

    def _real_folder(self, path: str | None) -> str | None:
        if path is None:
            return None
        with self._workspace.find(path) as found:
            if not found.is_folder:
                raise UnfitFile(f"{path} is not a folder")
            return os.readlink(f"/proc/self/fd/{found.folder}")


def _key(message: Message, name: str = "key") -> str:
    key = text_of(message, name)
    if not _KEY.fullmatch(key):
        raise RequestRefused("bad_request", f"{name} must be 1 to 128 letters, digits, '-' or '_'")
    return key


def _texts(message: Message, name: str) -> list[str]:
    texts = message.get(name, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RequestRefused("bad_request", f"{name} must be a list of texts")
    return texts


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise RequestRefused("bad_request", "content must be base64") from None


def _environment(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RequestRefused("bad_request", "environment must be an object")
    checked = {}
    for name, text in value.items():
        if not _VARIABLE.fullmatch(name) or not isinstance(text, str) or "\0" in text:
            raise RequestRefused("bad_request", f"environment has a name or value that cannot be one: {name!r}")
        checked[name] = text
    if sum(len(name) + len(text.encode("utf-8", "replace")) for name, text in checked.items()) > _ENVIRONMENT_LIMIT:
        raise RequestRefused("bad_request", f"environment is larger than {_ENVIRONMENT_LIMIT} bytes")
    return checked


def _edit(task: Message) -> Edit:
    return Edit(
        command=text_of(task, "command"),
        path=text_of(task, "path"),
        file_text=optional_text(task, "file_text"),
        old_str=optional_text(task, "old_str"),
        new_str=optional_text(task, "new_str"),
        insert_line=optional_int(task, "insert_line"),
        view_range=_range(task.get("view_range")),
    )


def _range(value: object) -> tuple[int, int] | None:
    if value is None:
        return None
    if isinstance(value, list) and len(value) == 2 and all(isinstance(number, int) for number in value):
        return value[0], value[1]
    raise RequestRefused("bad_request", "view_range must be two integers")
