"""Commands of a client, over the socket and over REST, in both directions."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from openhands_sessions.core.agents import AgentName
from openhands_sessions.core.commands import (
    Answer,
    Command,
    Decide,
    EditQueued,
    GiveFeedback,
    Pause,
    RemoveQueued,
    Resume,
    SendMessage,
    SetBudget,
    SetModel,
    Stop,
)
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.events.own import RuleScope
from openhands_sessions.core.history_commands import HistoryCommand
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.settings import bad_input
from openhands_sessions.core.texts import ModelName
from openhands_sessions.ports.gateway import Accepted
from openhands_sessions.protocol.approvals import DecideIn, EventNumber, decide_wire
from openhands_sessions.protocol.budgets import SetBudgetIn, budget_wire
from openhands_sessions.protocol.feedback import GiveFeedbackIn, feedback_wire
from openhands_sessions.protocol.history import (
    HISTORY_ACTIONS,
    HISTORY_MODELS,
    HistoryIn,
    HistoryModel,
    Key,
    history_command,
    history_wire,
)
from openhands_sessions.protocol.images import ImageUrl
from openhands_sessions.protocol.payloads import Message, Payload, Reply, Text


class MessageArgs(Message):
    """`args` of a `message`; other keys, such as the client's own timestamp, are ignored."""

    content: Text
    image_urls: list[ImageUrl] | None = Field(None, max_length=32)
    file_urls: list[str] | None = Field(None, max_length=256)

    @property
    def _urls(self) -> dict[str, tuple[str, ...]]:
        return {"image_urls": tuple(self.image_urls or ()), "file_urls": tuple(self.file_urls or ())}


class SentArgs(MessageArgs):
    """`mode` says what becomes of a message during a turn: `steer`, its next step sees it; `queue`, it waits for a turn
    of its own. `agent` names one of several agents; without, the message is for the one whose turn runs, or the
    first."""

    mode: Literal["steer", "queue"] = "steer"
    agent: AgentName | None = None

    def command(self) -> SendMessage:
        urls = self._urls
        return SendMessage(
            content=self.content,
            image_urls=urls["image_urls"],
            file_urls=urls["file_urls"],
            mode=self.mode,
            agent=self.agent,
        )


class EditQueuedArgs(MessageArgs):
    """What the queued message of event `id` says from now on."""

    id: EventNumber

    def command(self) -> EditQueued:
        return EditQueued(queued=EventId(self.id), content=self.content, **self._urls)


class RemoveQueuedArgs(Message):
    """The queued message of event `id`."""

    id: EventNumber

    def command(self) -> RemoveQueued:
        return RemoveQueued(EventId(self.id))


class ModelArgs(Message):
    """`model` is a name of litellm, or `scripted:NAME`."""

    model: ModelName

    def command(self) -> SetModel:
        return SetModel(self.model)


class StateArgs(Message):
    """`args` of a `change_agent_state`. `id` names the action that is answered, the first one if it is left out;
    `arguments` are to be used in place of the model's, `always` allows such calls from now on, and `feedback` tells the
    agent why the action is rejected. `turn` names the turn that is stopped."""

    agent_state: Literal["stopped", "paused", "running", "user_confirmed", "user_rejected"]
    id: int | None = Field(None, strict=True)
    arguments: dict[str, Any] | None = None
    feedback: Text | None = None
    always: RuleScope | None = None
    turn: EventNumber | None = None

    def command(self) -> Command:
        for name, state in _BELONGS.items():
            if getattr(self, name) is not None and self.agent_state != state:
                raise BadInput(f"args.{name}", f"belongs to `{state}`: leave it out with `{self.agent_state}`")
        command = _COMMANDS[self.agent_state]
        match command:
            case Answer(confirmed=confirmed):
                return Answer(
                    confirmed=confirmed,
                    action=None if self.id is None else EventId(self.id),
                    arguments=None if self.arguments is None else orjson.dumps(self.arguments).decode(),
                    feedback=self.feedback or "",
                    always=self.always,
                )
            case Stop() if self.turn is not None:
                return Stop(EventId(self.turn))
            case _:
                return command


class MessageIn(Message):
    """A `message` from a client."""

    action: Literal["message"]
    args: SentArgs
    key: Key | None = None


class StateIn(Message):
    """A `change_agent_state` from a client."""

    action: Literal["change_agent_state"]
    args: StateArgs
    key: Key | None = None


class EditQueuedIn(Message):
    """An `edit_queued_message` from a client."""

    action: Literal["edit_queued_message"]
    args: EditQueuedArgs
    key: Key | None = None


class RemoveQueuedIn(Message):
    """A `remove_queued_message` from a client."""

    action: Literal["remove_queued_message"]
    args: RemoveQueuedArgs
    key: Key | None = None


class SetModelIn(Message):
    """A `set_model` from a client: the model of this conversation from its next turn on. Refused during a turn."""

    action: Literal["set_model"]
    args: ModelArgs
    key: Key | None = None


class ModelIn(Payload):
    """Body of `PUT /api/conversations/{id}/model`. The same `key` again changes nothing twice."""

    model: ModelName
    key: Key | None = None


class ModelOut(Reply):
    """The model from the next turn on, as event `id` says."""

    id: int
    model: str


class SayIn(Payload):
    message: Text = Field(min_length=1)


class SendIn(Payload):
    """Body of `POST /api/conversations/{id}/messages`. `mode` says what becomes of it during a turn: `steer`, the next
    step sees it; `queue`, it waits for a turn of its own. `agent` names one of several agents. The same `key` again
    sends nothing twice."""

    content: Text = Field(min_length=1)
    image_urls: list[ImageUrl] = Field(default_factory=list, max_length=32)
    file_urls: list[str] = Field(default_factory=list, max_length=256)
    mode: Literal["steer", "queue"] = "steer"
    agent: AgentName | None = None
    key: Key | None = None

    def command(self) -> SendMessage:
        return SendMessage(
            content=self.content,
            image_urls=tuple(self.image_urls),
            file_urls=tuple(self.file_urls),
            mode=self.mode,
            agent=self.agent,
        )


class AcceptedOut(Reply):
    """A command took effect as event `id`. `turn` is the turn that it belongs to, if it belongs to one."""

    success: Literal[True]
    id: int
    turn: int | None

    @classmethod
    def of(cls, accepted: Accepted) -> "AcceptedOut":
        return cls(success=True, id=accepted.id, turn=accepted.turn)


OWN_MODELS = (MessageIn, StateIn, DecideIn, EditQueuedIn, RemoveQueuedIn, SetModelIn, SetBudgetIn, GiveFeedbackIn)
COMMAND_MODELS = (*OWN_MODELS, *HISTORY_MODELS)
OwnModel = MessageIn | StateIn | DecideIn | EditQueuedIn | RemoveQueuedIn | SetModelIn | SetBudgetIn | GiveFeedbackIn
ClientCommand = OwnModel | HistoryModel
CommandIn = Annotated[ClientCommand, Field(discriminator="action")]
_READER: TypeAdapter[ClientCommand] = TypeAdapter(CommandIn)
_HISTORY_READER: TypeAdapter[HistoryModel] = TypeAdapter(HistoryIn)
_ACTIONS = (
    *("message", "change_agent_state", "decide", "edit_queued_message", "remove_queued_message", "set_model"),
    "give_feedback",
    "set_budget",
    *HISTORY_ACTIONS,
)
_COMMANDS: Mapping[str, Command] = {
    "stopped": Stop(),
    "paused": Pause(),
    "running": Resume(),
    "user_confirmed": Answer(confirmed=True),
    "user_rejected": Answer(confirmed=False),
}
_BELONGS = {"turn": "stopped", "arguments": "user_confirmed", "always": "user_confirmed", "feedback": "user_rejected"}
"""The state that each of these belongs to."""
_STATES: Mapping[Command, str] = {command: state for state, command in _COMMANDS.items()}


def command_of(data: object) -> tuple[Command, str | None]:
    """The command that a client sent, and its key. Raises BadInput that names the field."""
    if not isinstance(data, dict):
        raise BadInput("the command", "must be an object with `action` and `args`")
    try:
        given = _READER.validate_python(data)
    except ValidationError as error:
        raise _problem(error, _ACTIONS) from None
    if isinstance(given, OWN_MODELS):
        return given.args.command(), given.key
    return history_command(given), given.key


def history_command_of(data: object) -> tuple[HistoryCommand, str | None]:
    """As `command_of`, for commands of the history alone."""
    try:
        given = _HISTORY_READER.validate_python(data)
    except ValidationError as error:
        raise _problem(error, HISTORY_ACTIONS) from None
    return history_command(given), given.key


def command_wire(command: Command, key: str) -> dict[str, Json]:
    """A command as a client sends it. Built without validation: the server validates it."""
    match command:
        case SendMessage(mode=mode, agent=agent):
            named: dict[str, Json] = {} if agent is None else {"agent": agent}
            return {"action": "message", "args": {**_said(command), "mode": mode, **named}, "key": key}
        case EditQueued(queued=queued):
            return {"action": "edit_queued_message", "args": {**_said(command), "id": queued}, "key": key}
        case RemoveQueued(queued=queued):
            return {"action": "remove_queued_message", "args": {"id": queued}, "key": key}
        case SetModel(model=model):
            return {"action": "set_model", "args": {"model": model}, "key": key}
        case GiveFeedback() | SetBudget():
            return _noted_wire(command, key)
        case Decide():
            return {"action": "decide", "args": decide_wire(command), "key": key}
        case Stop(turn=turn):
            args: dict[str, Json] = {"agent_state": "stopped", "turn": turn}
        case Answer():
            args = _answer_wire(command)
        case Pause() | Resume():
            args = {"agent_state": _STATES[command]}
        case _:
            return history_wire(command, key)
    return {"action": "change_agent_state", "args": args, "key": key}


def _noted_wire(command: GiveFeedback | SetBudget, key: str) -> dict[str, Json]:
    if isinstance(command, SetBudget):
        return {"action": "set_budget", "args": budget_wire(command), "key": key}
    return {"action": "give_feedback", "args": feedback_wire(command), "key": key}


def _answer_wire(answer: Answer) -> dict[str, Json]:
    args: dict[str, Json] = {"agent_state": _STATES[Answer(confirmed=answer.confirmed)], "id": answer.action}
    if answer.arguments is not None:
        args["arguments"] = orjson.loads(answer.arguments)
    if answer.feedback:
        args["feedback"] = answer.feedback
    if answer.always is not None:
        args["always"] = str(answer.always)
    return args


def _said(command: SendMessage | EditQueued) -> dict[str, Json]:
    images, files = list(command.image_urls), list(command.file_urls)
    return {"content": command.content, "image_urls": [*images], "file_urls": [*files]}


def _problem(error: ValidationError, actions: Sequence[str]) -> BadInput:
    kind = error.errors(include_url=False, include_input=False)[0]["type"]
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return BadInput("action", f"must be one of {', '.join(actions)}")
    return bad_input(error, "the payload", skipped=1)  # the action's name comes first
