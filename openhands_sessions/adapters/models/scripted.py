"""Models that play a script, for demos and tests without a provider."""

import asyncio
import json
import re
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from uuid import uuid4

from openhands_sessions.adapters.models.failures import (
    MISCONFIGURED,
    OTHER,
    TOO_SLOW,
    FailureKind,
    classify,
    model_failure,
)
from openhands_sessions.adapters.models.script import Failure, Script, Step, read_script
from openhands_sessions.core.errors import ModelFailure
from openhands_sessions.core.events.own import CallPurpose, PlannedCall
from openhands_sessions.core.money import MicroDollars
from openhands_sessions.ports.model import ChatMessage, LostCall, ModelReply, ModelRequest, ModelSpec, Retry, Usage

_KIND = "scripted"
_DEMO = "demo"
_OWN_SCRIPTS = Path(__file__).parent / "scripts"
_SCRIPT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_BIGGEST_SCRIPT = 1 << 20
_CALL_ID = re.compile(r"call_r(\d+)s(\d+)n\d+_\w+")
_CHARACTERS_PER_TOKEN = 4


class ScriptedModels:
    """`scripted:NAME` is `NAME.yaml` in the folder, or one of our own scripts; `scripted` is the demo."""

    def __init__(
        self, folder: Path | None = None, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._folders = [_OWN_SCRIPTS] if folder is None else [folder, _OWN_SCRIPTS]
        self._sleep = sleep

    async def open(self, spec: ModelSpec) -> "ScriptedModel":
        kind, _, name = spec.name.partition(":")
        if kind != _KIND:
            raise model_failure(MISCONFIGURED, f"{spec.name!r} is not a scripted model")
        script = await asyncio.to_thread(self._read, name or _DEMO)
        return ScriptedModel(script, spec, self._sleep)

    def _read(self, name: str) -> Script:
        self._make_folder()
        if _SCRIPT_NAME.fullmatch(name):
            for path in (folder / f"{name}.yaml" for folder in self._folders):
                if path.is_file():
                    return read_script(_text(path), path.name)
        known = sorted({path.stem for folder in self._folders for path in folder.glob("*.yaml")})
        problem = (
            f"there is no script {name!r}; there are: {', '.join(known)}. Put yours into `scripts` in the data folder"
        )
        raise model_failure(MISCONFIGURED, problem)

    def _make_folder(self) -> None:
        """The first use makes the folder of scripts, with an example to copy."""
        folder = self._folders[0]
        if folder.exists():
            return
        with suppress(OSError):  # scripts are played from a folder that cannot be written, too
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(_OWN_SCRIPTS / f"{_DEMO}.yaml", folder / "example.yaml")


class ScriptedModel:
    """Plays one script. The next step is derived from the messages, so that a restart or a repeated call changes
    nothing."""

    def __init__(self, script: Script, spec: ModelSpec, sleep: Callable[[float], Awaitable[None]]) -> None:
        self.name = spec.name
        self.vision = script.vision
        self.window: int | None = None
        self._script = script
        self._timeout = spec.timeout
        self._sleep = sleep

    async def complete(
        self,
        request: ModelRequest,
        on_text: Callable[[str], None],
        on_retry: Callable[[Retry], None],
        on_thought: Callable[[str], None] = lambda text: None,
        on_lost: Callable[[LostCall], None] = lambda call: None,
    ) -> ModelReply:
        if request.purpose in (CallPurpose.TITLE, CallPurpose.PROBE):
            return ModelReply(id=f"scripted-{_new_id()}", text=self._script.title, usage=Usage(cost=0), model=self.name)
        exchange, number = position(self._script, request.messages)
        step = None if exchange is None else self._script.replies[exchange].step(number)
        try:
            async with asyncio.timeout(self._timeout) as limit:
                return await self._play(
                    request, step or Step(say=self._script.over), f"r{exchange}s{number}", on_text, on_retry
                )
        except TimeoutError:
            if not limit.expired():
                raise
            raise model_failure(TOO_SLOW, f"no answer within {self._timeout:g} seconds") from None

    def price(self, usage: Usage) -> MicroDollars | None:
        return 0

    async def _play(
        self,
        request: ModelRequest,
        step: Step,
        mark: str,
        on_text: Callable[[str], None],
        on_retry: Callable[[Retry], None],
    ) -> ModelReply:
        begun = time.monotonic()
        for attempt in range(1, step.retries + 1):
            on_retry(Retry(attempt=attempt, wait=step.delay, problem="The script says that this try fails."))
            await self._sleep(step.delay)
        for piece in _pieces(step.say, step.piece):
            on_text(piece)
            await self._sleep(step.delay)
        if step.fail is not None:
            raise _failure(step.fail)
        calls = [
            PlannedCall(id=f"call_{mark}n{index}_{_new_id()}", name=call.call, arguments=_json(call.arguments))
            for index, call in enumerate(step.wanted())
        ]
        said = len(step.say) + sum(len(call.name) + len(call.arguments) for call in calls)
        read = sum(len(text_of(message)) for message in request.messages)
        usage = Usage(
            prompt_tokens=_tokens(read), completion_tokens=_tokens(said), cost=0, latency=time.monotonic() - begun
        )
        return ModelReply(id=f"scripted-{_new_id()}", text=step.say, calls=calls, usage=usage, model=self.name)


def position(script: Script, messages: Sequence[ChatMessage]) -> tuple[int | None, int]:
    """Which exchange is played and which of its steps is next.

    The ids of the script's calls hold both, even if the history was condensed. Without a call since the last user
    message, the user's messages select the exchange and the assistant's are counted.
    """
    groups, after_user = _user_messages(messages)
    for message in reversed(after_user):
        calls = message.get("tool_calls")
        for call in reversed(calls if isinstance(calls, list) else []):
            mark = _CALL_ID.fullmatch(str(call.get("id"))) if isinstance(call, dict) else None
            if mark is not None and int(mark[1]) < len(script.replies):
                return int(mark[1]), int(mark[2]) + 1
    return script.choose(groups), sum(message.get("role") == "assistant" for message in after_user)


def text_of(message: ChatMessage) -> str:
    """A message's text; its parts joined where it has parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _user_messages(messages: Sequence[ChatMessage]) -> tuple[list[str], list[ChatMessage]]:
    """The user's messages, consecutive ones joined, and the messages after the last of them."""
    groups: list[str] = []
    after_user: list[ChatMessage] = []
    for from_user, some in groupby(messages, lambda message: message.get("role") == "user"):
        if from_user:
            groups.append("\n".join(map(text_of, some)))
            after_user = []
        else:
            after_user = list(some)
    return groups, after_user


def _failure(fail: Failure) -> ModelFailure:
    trouble = FailureKind(fail.id, OTHER.sentence) if fail.id is not None else classify(_Refused(fail.status or 0))
    return model_failure(trouble, fail.message or "the script says so")


class _Refused(Exception):
    """Stands for a provider's answer with this HTTP status."""

    def __init__(self, status_code: int) -> None:
        super().__init__()
        self.status_code = status_code


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_BIGGEST_SCRIPT + 1)
    except (OSError, UnicodeDecodeError):
        raise model_failure(MISCONFIGURED, f"{path.name} cannot be read") from None
    if len(text) > _BIGGEST_SCRIPT:
        raise model_failure(MISCONFIGURED, f"{path.name} is larger than {_BIGGEST_SCRIPT} characters")
    return text


def _json(arguments: dict[str, object] | str) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, default=str)


def _pieces(text: str, size: int) -> Iterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _new_id() -> str:
    return uuid4().hex[:12]


def _tokens(characters: int) -> int:
    return -(-characters // _CHARACTERS_PER_TOKEN)
