"""Traffic recorded from the reference: what clients sent, what came back, and a script that makes a model say the
same. And what of an event is compared."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from tests.support.event_summaries import Event, state_of

TRAFFIC = Path(__file__).parents[1] / "golden" / "traffic"
SAID = ("command", "path", "thought", "final_thought", "agent_state", "confirmation_state", "is_input", "hidden")
"""Fields whose values are facts and not prose, where the reference and we run the same commands."""
LEFT_OUT = {"timeout", "llm_metrics"}
"""`timeout` the reference sends now and then; what a model used is counted where it was asked."""


@dataclass(frozen=True)
class Recording:
    """One file. A line is `create` (a body), `connect` (a query), `out` (a command), `in` (a packet), `refused` (a
    connect error), `gone` (how a connection ended) or `call` (a REST call), in the order of the wire. Where several
    clients take part, `sock` says which."""

    lines: Sequence[Mapping[str, Any]]

    @classmethod
    def read(cls, name: str, instead: Mapping[str, str] | None = None) -> "Recording":
        """`instead` is put for texts of the file, for a run with shorter waits."""
        text = (TRAFFIC / f"{name}.jsonl").read_text()
        for recorded, put in (instead or {}).items():
            text = text.replace(recorded, put)
        return cls([json.loads(line) for line in text.splitlines()])

    def of(self, sock: str) -> "Recording":
        """What one of several clients sent and got."""
        return Recording([line for line in self.lines if line.get("sock") == sock])

    @property
    def first_message(self) -> str | None:
        message: str | None = next(line["create"] for line in self.lines if "create" in line).get("initial_user_msg")
        return message

    @cached_property
    def events(self) -> Sequence[Event]:
        """Each event once, by id: the reference sends some twice, and the newest state too early or too late."""
        once = {line["in"]["id"]: line["in"] for line in self.lines if isinstance(line.get("in", {}).get("id"), int)}
        return [once[number] for number in sorted(once)]

    @property
    def sent(self) -> Sequence[Mapping[str, Any]]:
        """The commands of the clients."""
        return [line["out"] for line in self.lines if "out" in line]

    @property
    def calls(self) -> Sequence[Mapping[str, Any]]:
        """The REST calls, with what was answered."""
        return [line["call"] for line in self.lines if "call" in line]

    @property
    def told(self) -> Sequence[Mapping[str, Any]]:
        """Packets that are no events: status updates and bare errors."""
        return [line["in"] for line in self.lines if "in" in line and not isinstance(line["in"].get("id"), int)]

    def commands(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """What the client sent, and the state that it had seen before."""
        state = ""
        for line in self.lines:
            if "in" in line:
                state = state_of(line["in"]) or state
            elif "out" in line:
                yield state, line["out"]

    def script(self, slow: Mapping[str, float] | None = None) -> str:
        """For a scripted model: after each of the user's messages, the calls and words that were recorded. A message
        that came while the agent was at work joins what it was at. `slow` says by their commands which calls the model
        is to take how many seconds for."""
        replies: list[dict[str, Any]] = []
        state = None
        for event in self.events:
            state = state_of(event) or state
            if event.get("action") == "message" and event["source"] == "user":
                if not replies or state != "running":
                    replies.append({"when": event["args"]["content"], "steps": []})
            elif replies and (step := _step(event)) is not None:
                delay = (slow or {}).get(event["args"].get("command", ""))
                replies[-1]["steps"].append(step if delay is None else {**step, "delay": delay})
        return yaml.safe_dump({"name": "recorded", "title": "Fake Title", "replies": replies}, allow_unicode=True)


def outline(events: Sequence[Event]) -> list[Any]:
    """Each event without what differs from run to run: ids become places, times and prose are left out."""
    kept = [event for event in events if not _spared(event)]
    places = {event["id"]: place for place, event in enumerate(kept)}
    return [_line(event, places) for event in kept]


def told(events: Sequence[Event], got: Sequence[Event]) -> Sequence[Event]:
    """The recorded events, without the states that a client was spared because it came when they were no longer the
    newest (rule 2): all but as many of the last ones as it got."""
    states = [event["id"] for event in events if state_of(event) and not _spared(event)]
    seen = sum(state_of(event) is not None and not _spared(event) for event in got)
    spared = states[: max(len(states) - seen, 0)]
    return [event for event in events if event["id"] not in spared]


def shape(value: Any) -> Any:
    """The fields of an answer, and of what is in it: without what is ours (`session`) and without values."""
    match value:
        case dict():
            return {key: shape(item) for key, item in sorted(value.items()) if key not in ("session", "events")}
        case list():
            shapes = {json.dumps(shape(item)) for item in value if not isinstance(item, dict) or "id" not in item}
            return sorted(shapes)
        case str():
            return "text" if not re.fullmatch(r"[A-Z_]+", value) else "word"
        case bool() | None:
            return "flag or nothing"
        case _:
            return "number"


def _spared(event: Event) -> bool:
    """Rule 2: recall actions are not sent, nor states from before the connection."""
    return event.get("action") == "recall" or state_of(event) == "loading"


def _line(event: Event, places: Mapping[int, int]) -> dict[str, Any]:
    body: Mapping[str, Any] = event.get("args") or event.get("extras") or {}
    return {
        "kind": event.get("action") or event.get("observation"),
        "source": "agent" if event["source"] == "environment" else event["source"],  # rule 1: sent as it is stored
        "cause": None if "action" in event else places.get(event.get("cause", -1)),
        "keys": sorted(event.keys() - LEFT_OUT - ({"cause"} if "action" in event else set())),  # rule 4
        "fields": sorted(body),
        "said": {name: body[name] for name in SAID if name in body},
        "call": event.get("tool_call_metadata", {}).get("function_name"),
        "success": event.get("success"),
        "exit_code": body.get("metadata", {}).get("exit_code"),
    }


def _step(event: Event) -> dict[str, Any] | None:
    """What the model must have said for this event; None for what came of it, and for actions restated."""
    if event["source"] != "agent" or event.get("args", {}).get("confirmation_state") == "rejected":
        return None
    args = event.get("args", {})
    if event.get("action") == "message":
        return {"say": args["content"]}
    call = event.get("tool_call_metadata", {}).get("function_name")
    if "action" not in event or call is None or (args.get("confirmation_state") == "confirmed" and not args["thought"]):
        return None
    step = {"call": call, "with": _arguments(event["action"], args)}
    said = "" if event["action"] == "think" else args.get("thought", "")
    return {"say": said, **step} if said else step


def _arguments(action: str, args: Mapping[str, Any]) -> dict[str, Any]:
    match action:
        case "run":
            return {"command": args["command"], "security_risk": "LOW"}
        case "read":
            return {"command": "view", "path": args["path"], "security_risk": "LOW"}
        case "edit":
            names = ("command", "path", "file_text", "old_str", "new_str", "insert_line")
            return {name: args[name] for name in names if args[name] is not None} | {"security_risk": "LOW"}
        case "think":
            return {"thought": args["thought"]}
        case "finish":
            return {"message": args["final_thought"]}
        case "task_tracking":
            return {"command": args["command"], "task_list": args["task_list"]}
        case _:
            raise ValueError(action)
