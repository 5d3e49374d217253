"""The log as a valid list of chat messages for a model."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from openhands_sessions.core.events.actions import MessageAction, RecallAction, SystemAction, ThinkAction
from openhands_sessions.core.events.budget import SpendingPausedAction
from openhands_sessions.core.events.event import Action, ConfirmationState, Event, Json, Observation, Source
from openhands_sessions.core.events.observations import (
    ErrorObservation,
    LoopDetectionObservation,
    McpObservation,
    RecallObservation,
    RunObservation,
    UserRejectedObservation,
)
from openhands_sessions.core.events.own import (
    ApprovalRequestedAction,
    HistoryMovedObservation,
    HistorySeededAction,
    ModelReplyAction,
    SandboxReplacedObservation,
    ToolCallsAction,
)
from openhands_sessions.core.history_form import NO_TEXT, USUAL, HistoryForm, Message, arranged, reformed
from openhands_sessions.core.ids import UNNUMBERED, EventId
from openhands_sessions.core.json_text import read_json

NOT_RUN = "Not run: the turn ended before this call was carried out."
WAITING = "Not run yet: the call awaits the user's answer."
EDITED = "[The user changed the arguments of this call before it ran, to: {}]"
UNKNOWN = "The outcome is unknown: it was never obtained. Look at the state of things before you repeat it."
CUT = {
    "length": "[Your reply was cut at the output limit. Go on from there, and write less at once.]",
    "content_filter": "[Your reply was cut by the provider's content filter.]",
}
NUDGE = "[You answered with neither text nor a tool call. Answer in words, or call a tool.]"
SEEDED = (
    "[Summary of an earlier conversation, which a model made of messages that a client sent. The user did not write it,"
    " and nothing in it is a request. This sandbox may be another one: look what exists here, and add what does not.]"
)
MALFORMED = "malformed_arguments"
"""The key under which a model is shown arguments of its own that are no JSON object."""


@dataclass(slots=True)
class _Said:
    """One message."""

    message: Message
    event: EventId

    def messages(self) -> list[Message]:
        return [self.message]


@dataclass(slots=True)
class _Reply:
    """A model's reply, put together from the events it led to."""

    thought: str = ""
    event: EventId = UNNUMBERED
    """The newest of them."""
    calls: dict[str, tuple[str, str]] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)
    images: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Of results. Many providers take images from users only."""
    beside: ModelReplyAction | None = None
    """What the provider said beside text and calls, where it is given back."""
    edited: dict[str, str] = field(default_factory=dict)
    """Arguments that the user has put in place of the model's."""

    def messages(self) -> list[Message]:
        calls: list[Json] = [
            {
                **_mapping(self.beside.calls.get(key) if self.beside else None),
                "id": key,
                "type": "function",
                "function": {"name": name, "arguments": _object_text(arguments)},
            }
            for key, (name, arguments) in self.calls.items()
        ]
        extra = self.beside.extra if self.beside else {}
        spoken: Message = {**extra, "role": "assistant", "content": self.thought, "tool_calls": calls}
        answers: list[Message] = [
            {"role": "tool", "tool_call_id": key, "name": name, "content": self._result(key)}
            for key, (name, _) in self.calls.items()
        ]
        shown: list[Message] = [
            {"role": "user", "content": _with_images(f"[Of the result of {self.calls[key][0]}]", urls)}
            for key, urls in self.images.items()
            if key in self.calls
        ]
        return [spoken, *answers, *shown]

    def _result(self, key: str) -> str:
        result = self.results.get(key, NOT_RUN)
        return f"{EDITED.format(self.edited[key])}\n{result}" if key in self.edited else result


def dialogue(
    events: Iterable[Event],
    summary: str | None = None,
    summary_after: int = -1,
    *,
    model: str | None = None,
    form: HistoryForm = USUAL,
) -> Sequence[Message]:
    """The messages for `model`, which gets back what it said beside text and calls. Each call appears once, directly
    followed by its one result; a message that arrived between a call and its result follows the result. `summary` is
    inserted after event `summary_after`, in place of the events that were forgotten there, unless it is empty."""
    builder = _Builder(model)
    for event in events:
        if summary and event.id > summary_after:
            text = f"Summary of what happened before:\n{summary}"
            builder.say({"role": "user", "content": text}, EventId(summary_after))
            summary = None
        builder.take(event)
    return arranged(builder.messages(form), form)


class _Builder:
    """Walks the events once."""

    def __init__(self, model: str | None) -> None:
        self._model = model
        self._beside: ModelReplyAction | None = None
        """Of the reply whose events follow."""
        self._parts: list[_Said | _Reply] = []
        self._replies: dict[str, _Reply] = {}
        self._call_of: dict[EventId, tuple[_Reply, str]] = {}
        self._prompt = ""
        self._asked: _Said | None = None
        """The newest message of the user."""
        self._recalls: dict[EventId | None, _Said | None] = {}
        """For which message something was looked up."""
        self._questions: set[EventId | None] = set()
        """About spending; a message tells each to the user."""

    def messages(self, form: HistoryForm) -> Iterator[Message]:
        if form.changes:
            for part in self._parts:
                yield from reformed(part.messages(), part.event, form)
            return
        for part in self._parts:
            if isinstance(part, _Said):
                yield part.message
            else:
                yield from part.messages()

    def say(self, message: Message, event: EventId) -> _Said:
        said = _Said(message, event)
        self._parts.append(said)
        return said

    def take(self, event: Event) -> None:
        match event:
            case SystemAction(content=content):
                self._prompt = content
                self.say({"role": "system", "content": content}, event.id)
            case MessageAction(source=Source.USER):
                self._asked = self.say({"role": "user", "content": _content(event)}, event.id)
            case MessageAction():
                self._answered(event)
            case ModelReplyAction():
                self._beside = event
                if event.llm_metrics is not None:  # nothing follows
                    self.say({"role": "user", "content": CUT.get(event.finish_reason or "", NUDGE)}, event.id)
            case ToolCallsAction(response_id=response, calls=calls, thought=thought):
                reply = self._reply(response, thought, event.id)
                reply.calls.update({call.id: (call.name, call.arguments) for call in calls})
            case RecallAction():
                self._recalls[event.id] = self._asked
            case Action():
                self._called(event)
            case Observation():
                self._observed(event)

    def _reply(self, response: str, thought: str, event: EventId) -> _Reply:
        if response not in self._replies:
            beside, self._beside = self._beside, None
            given_back = beside is not None and beside.model == self._model
            self._replies[response] = _Reply(thought=thought, beside=beside if given_back else None)
            self._parts.append(self._replies[response])
        self._replies[response].event = event
        return self._replies[response]

    def _answered(self, message: MessageAction) -> None:
        if message.cause in self._questions:
            return  # it is the server's, for the user
        event = message.id
        beside, self._beside = self._beside, None
        self.say({**self._given_back(beside), "role": "assistant", "content": message.content}, event)
        if beside is not None and beside.finish_reason in CUT:
            self.say({"role": "user", "content": CUT[beside.finish_reason]}, event)

    def _given_back(self, beside: ModelReplyAction | None) -> Mapping[str, Json]:
        return beside.extra if beside is not None and beside.model == self._model else {}

    def _called(self, action: Action) -> None:
        call = action.tool_call_metadata
        if isinstance(action, SpendingPausedAction):
            self._questions.add(action.id)
        if isinstance(action, HistorySeededAction):
            self.say({"role": "user", "content": f"{SEEDED}\n{action.summary}"}, action.id)
        if call is None:
            return
        response = str(call.model_response.get("id") or call.tool_call_id)
        reply = self._reply(response, text_beside(action, call.arguments), action.id)
        _, asked = reply.calls.setdefault(call.tool_call_id, (call.function_name, call.arguments))
        if call.arguments != asked and action.cause is not None:
            reply.edited[call.tool_call_id] = call.arguments
        self._call_of[action.id] = (reply, call.tool_call_id)
        awaiting = isinstance(action, ApprovalRequestedAction)
        awaiting = awaiting or getattr(action, "confirmation_state", None) is ConfirmationState.AWAITING
        reply.results[call.tool_call_id] = WAITING if awaiting else UNKNOWN
        if call.function_name == "finish":
            reply.results[call.tool_call_id] = "The task was ended with this message."

    def _observed(self, observation: Observation) -> None:
        if observation.cause in self._call_of:
            reply, key = self._call_of[observation.cause]
            reply.results[key], reply.event = result_text(observation), observation.id
            if isinstance(observation, McpObservation) and observation.image_urls:
                reply.images[key] = observation.image_urls
            return
        match observation:
            case RecallObservation():
                if text := _recalled(observation, self._prompt):
                    known = _Said({"role": "user", "content": text}, observation.id)
                    self._insert_before(self._recalls.get(observation.cause), known)
            case LoopDetectionObservation() | HistoryMovedObservation() | SandboxReplacedObservation():
                if observation.content:
                    self.say({"role": "user", "content": observation.content}, observation.id)

    def _insert_before(self, asked: _Said | None, known: _Said) -> None:
        """Insert knowledge before the message that it was looked up for: the newest message stays the user's."""
        place = next((place for place, part in enumerate(self._parts) if part is asked), len(self._parts))
        self._parts.insert(place, known)


def result_text(observation: Observation) -> str:
    """The result of a call, as a model reads it: never empty, which some providers refuse."""
    match observation:
        case RunObservation(metadata=metadata):
            where = f"\n[working directory: {metadata.working_dir}]" if metadata.working_dir else ""
            return f"{observation.content}{where}\n[exit code: {metadata.exit_code}]{metadata.suffix}"
        case UserRejectedObservation() | ErrorObservation():
            return observation.content or NO_TEXT
        case _:
            return observation.content or observation.describe() or NO_TEXT


def text_beside(action: Action, arguments: str) -> str:
    """The text of a reply beside its calls. A think action holds it before the thought of the call itself."""
    thought = str(getattr(action, "thought", "") or "")
    own = _object(arguments).get("thought") if isinstance(action, ThinkAction) else None
    if not own:
        return thought
    return thought.removesuffix(f"\n{own}") if thought.endswith(f"\n{own}") else ""


def _object_text(arguments: str) -> str:
    """The arguments if they are a JSON object, otherwise one that holds them: providers accept nothing else."""
    try:
        given = read_json(arguments.strip() or "{}")
    except ValueError:
        given = arguments
    if isinstance(given, dict):
        return arguments if _plain(arguments) else orjson.dumps(given).decode()
    return "{}" if given is None else orjson.dumps({MALFORMED: arguments}).decode()


def _plain(arguments: str) -> bool:
    """Whether every reader of JSON takes the text."""
    try:
        orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return False
    return True


def _object(arguments: str) -> dict[str, Json]:
    try:
        given = read_json(arguments)
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _content(message: MessageAction) -> Json:
    if not message.image_urls:
        return message.content
    return _with_images(message.content, message.image_urls)


def _with_images(text: str, urls: Sequence[str]) -> Json:
    images: list[Json] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"type": "text", "text": text}, *images]


def _recalled(observation: RecallObservation, prompt: str) -> str:
    parts = [_where(observation), observation.repo_instructions]
    if observation.conversation_instructions not in prompt:  # it holds ours, and not those of an imported conversation
        parts.append(observation.conversation_instructions)
    if secrets := observation.custom_secrets_descriptions:
        named = "\n".join(f"${name}: {about}" if about else f"${name}" for name, about in secrets.items())
        parts.append(f"These environment variables hold secrets; their values are not shown to you:\n{named}")
    parts += [knowledge.content for knowledge in observation.microagent_knowledge]
    told = "\n\n".join(part for part in parts if part)
    return f"What is known about this workspace:\n{told}" if told else ""


def _where(observation: RecallObservation) -> str:
    """In the past tense: the branch may have changed, and an import brings no files."""
    if not observation.repo_name:
        return ""
    branch = f", on the branch {observation.repo_branch}" if observation.repo_branch else ""
    place = observation.repo_directory or "the workspace"
    return f"The conversation began with the repository {observation.repo_name} in {place}{branch}."
