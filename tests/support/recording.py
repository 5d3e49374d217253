"""Traffic recorded from the reference: what the client sent, what came back, and a script that makes a model say the
same."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from tests.support.seen import Event, state_of

TRAFFIC = Path(__file__).parents[1] / "golden" / "traffic"


@dataclass(frozen=True)
class Recording:
    """One file. A line is `create` (a body), `out` (a command) or `in` (a packet), in the order of the wire."""

    lines: Sequence[Mapping[str, Any]]

    @classmethod
    def read(cls, name: str) -> "Recording":
        return cls([json.loads(line) for line in (TRAFFIC / f"{name}.jsonl").read_text().splitlines()])

    @property
    def first_message(self) -> str | None:
        message: str | None = next(line["create"] for line in self.lines if "create" in line).get("initial_user_msg")
        return message

    @cached_property
    def events(self) -> Sequence[Event]:
        """Each event once, by id: the reference sends some twice, and the newest state too early or too late."""
        once = {line["in"]["id"]: line["in"] for line in self.lines if isinstance(line.get("in", {}).get("id"), int)}
        return [once[number] for number in sorted(once)]

    def commands(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """What the client sent, and the state that it had seen before."""
        state = ""
        for line in self.lines:
            if "in" in line:
                state = state_of(line["in"]) or state
            elif "out" in line:
                yield state, line["out"]

    def script(self) -> str:
        """For a scripted model: after each of the user's messages, the calls and words that were recorded."""
        replies: list[dict[str, Any]] = []
        for event in self.events:
            if event.get("action") == "message" and event["source"] == "user":
                replies.append({"when": event["args"]["content"], "steps": []})
            elif replies and (step := _step(event)) is not None:
                replies[-1]["steps"].append(step)
        return yaml.safe_dump({"name": "recorded", "title": "Fake Title", "replies": replies}, allow_unicode=True)


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
