"""The script of a scripted model: its form, and reading it from YAML."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from openhands_sessions.adapters.models.failures import MISCONFIGURED, model_failure
from openhands_sessions.core.errors import ModelFailure

_COUNTER = "{{n}}"
_FAILED_STATUS = re.compile(r"[A-Z_]+\$[A-Z_]+")


class _Form(BaseModel):
    """Built when the first script is read: a server that plays none starts sooner."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class ScriptedCall(_Form):
    """One tool call. Arguments given as text go out as they are, malformed or not."""

    call: str = Field(min_length=1)
    arguments: dict[str, Any] | str = Field(default_factory=dict, alias="with")


class Failure(_Form):
    """A failure: an HTTP `status` as a provider would send it, or an `id` of the wire."""

    status: int | None = Field(None, ge=400, le=599)
    id: str | None = Field(None, pattern=_FAILED_STATUS.pattern)
    message: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_id(cls, value: object) -> object:
        return {"id": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> "Failure":
        if (self.status is None) == (self.id is None):
            raise ValueError("a failure has either a status or an id")
        return self


class Step(_Form):
    """One reply of the model: text, calls, both, or a failure."""

    say: str = ""
    call: str | None = None
    arguments: dict[str, Any] | str | None = Field(None, alias="with")
    calls: tuple[ScriptedCall, ...] = ()
    fail: Failure | None = None
    retries: int = Field(0, ge=0, le=20)
    delay: float = Field(0.0, ge=0, le=3600)
    piece: int = Field(12, ge=1)
    repeat: int = Field(1, ge=1, le=100_000)

    @model_validator(mode="after")
    def _check(self) -> "Step":
        if self.call is not None and self.calls:
            raise ValueError("a step has either call or calls")
        if self.arguments is not None and self.call is None:
            raise ValueError("with belongs to a call")
        if self.fail is not None and (self.call is not None or self.calls):
            raise ValueError("a step that fails calls nothing")
        if not (self.say or self.call or self.calls or self.fail):
            raise ValueError("a step says, calls or fails")
        return self

    def wanted(self) -> Sequence[ScriptedCall]:
        """The calls, however they are written."""
        if self.call is None:
            return self.calls
        return (ScriptedCall.model_validate({"call": self.call, "with": self.arguments or {}}),)

    def numbered(self, number: int) -> "Step":
        """The step as it is played the n-th time, from 1: `{{n}}` in its texts is the number."""
        return Step.model_validate(_numbered(self.model_dump(by_alias=True, exclude_none=True), str(number)))


def _valid_pattern(when: str) -> str:
    if is_pattern(when):
        try:
            re.compile(when[1:-1])
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from None
    return when


class Exchange(_Form):
    """What is played for a user message. `when` chooses it: text that the message holds, or `/a pattern/`; both
    without regard to case. An exchange without it is for messages that no other wants."""

    when: Annotated[str, Field(min_length=1), AfterValidator(_valid_pattern)] | None = None
    steps: tuple[Step, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> "Exchange":
        for step in self.steps[:-1]:
            if not step.wanted():
                raise ValueError("only the last step may be without a call: text alone ends the turn")
        return self

    def wants(self, text: str) -> bool:
        if self.when is None:
            return False
        if is_pattern(self.when):
            return re.search(self.when[1:-1], text, re.IGNORECASE) is not None
        return self.when.casefold() in text.casefold()

    def step(self, number: int) -> Step | None:
        """The step with this number, from 0, with repetitions counted; None after the last."""
        for step in self.steps:
            if number < step.repeat:
                return step.numbered(number + 1)
            number -= step.repeat
        return None


class Script(_Form):
    """A whole script. `over` is said when there is nothing left to play; `title` where a conversation is named;
    `vision` says whether images are taken."""

    name: str = Field(min_length=1)
    replies: tuple[Exchange, ...] = Field(min_length=1)
    over: str = "The script is over."
    title: str = ""
    vision: bool = False

    def choose(self, messages: Sequence[str]) -> int | None:
        """The number of the exchange for the last of these user messages: the first that wants it, otherwise the next
        of those that want nothing in particular. None where those are used up."""
        idle = [number for number, exchange in enumerate(self.replies) if exchange.when is None]
        chosen: int | None = None
        used = 0
        for text in messages:
            chosen = next((n for n, exchange in enumerate(self.replies) if exchange.wants(text)), None)
            if chosen is None:
                chosen = idle[used] if used < len(idle) else None
                used += 1
        return chosen


def is_pattern(when: str) -> bool:
    """Whether it is written `/like this/`."""
    return len(when) > 2 and when.startswith("/") and when.endswith("/")


def read_script(text: str, file: str) -> Script:
    """A script from YAML; `file` is its name in errors. Raises ModelFailure that says line and field."""
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        return Script.model_validate(loader.construct_document(root) if root is not None else {})
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _unplayable(file, line, f"it is not YAML: {error.problem}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the script"
        problem = first["msg"].removeprefix("Value error, ")
        raise _unplayable(file, _line_of(root, first["loc"]), f"{field}: {problem}") from None
    finally:
        loader.dispose()


def _unplayable(file: str, line: int, problem: str) -> ModelFailure:
    return model_failure(MISCONFIGURED, f"{file}, line {line}: {problem}")


def _line_of(root: yaml.Node | None, path: Sequence[int | str]) -> int:
    """The line of the deepest node on the path that is there."""
    node = root
    line = 1
    for part in path:
        found = next((child for key, child in _children(node) if key == part), None)
        if found is None:
            break
        node = found
        line = node.start_mark.line + 1
    return line


def _children(node: yaml.Node | None) -> Iterator[tuple[int | str, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from ((str(key.value), value) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        yield from enumerate(node.value)


def _numbered(value: Any, number: str) -> Any:
    match value:
        case str():
            return value.replace(_COUNTER, number)
        case dict():
            return {key: _numbered(item, number) for key, item in value.items()}
        case list() | tuple():
            return [_numbered(item, number) for item in value]
        case _:
            return value
