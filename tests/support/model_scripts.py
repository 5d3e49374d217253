"""Which answer a request to the model server gets: from a list, by a function, by a marker, or an echo."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support.model_replies import Answer, Call, Fault, FaultKind, Reply, Tries

Body = Mapping[str, Any]
"""A request's JSON."""
Script = Callable[[Body], Answer]

_MARKER = re.compile(r"\[\[([\w.-]+)\]\]")


class ScriptRanOut(Exception):
    """More was asked than the list holds."""


def in_order(answers: Sequence[Answer]) -> Script:
    """One answer after another, whatever is asked. Raises ScriptRanOut behind the last."""
    rest = list(answers)

    def choose(body: Body) -> Answer:
        if not rest:
            raise ScriptRanOut(f"asked more than {len(answers)} times; the last message: {last_user_text(body)!r}")
        return rest.pop(0)

    return choose


def by_marker(scripts: Mapping[str, Sequence[Answer]]) -> Script:
    """`[[name]]` in a user message chooses a script; which of its answers comes next is the number of assistant
    messages behind that message. So nothing is remembered here, and restarts and parallel conversations do no harm."""

    def choose(body: Body) -> Answer:
        behind = 0
        for message in reversed(body["messages"]):
            if message["role"] == "assistant":
                behind += 1
            marker = _MARKER.search(text_of(message)) if message["role"] == "user" else None
            if marker is None:
                continue
            answers = scripts.get(marker[1])
            if answers is None:
                return Reply(text=f"There is no script {marker[1]}.")
            return answers[behind] if behind < len(answers) else Reply(text=f"The script {marker[1]} is over.")
        return echo(body)

    return choose


def echo(body: Body) -> Answer:
    """The last user message, said back."""
    return Reply(text=f"You said: {last_user_text(body)}")


class Attempts:
    """Tells the tries of one request apart: requests with the same messages are tries of the same."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def choose(self, answer: Answer, body: Body) -> Reply | Fault:
        """The answer for this try of the request."""
        if not isinstance(answer, Tries):
            return answer
        digest = hashlib.sha256(json.dumps(body["messages"], sort_keys=True).encode()).hexdigest()
        tries = self._seen.get(digest, 0)
        self._seen[digest] = tries + 1
        return answer.answers[min(tries, len(answer.answers) - 1)]


def text_of(message: Mapping[str, Any]) -> str:
    """A message's text; its parts joined where it has parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return str(content or "")


def last_user_text(body: Body) -> str:
    """What the user said last."""
    return next((text_of(m) for m in reversed(body["messages"]) if m["role"] == "user"), "")


def read_scripts(path: Path) -> dict[str, list[Answer]]:
    """Named scripts from a YAML file: `name: [{say: …} | {call: …, with: …} | {fault: …} | {tries: […]}, …]`."""
    named = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {str(name): [_answer(entry) for entry in entries] for name, entries in named.items()}


def _answer(entry: Mapping[str, Any]) -> Answer:
    if "tries" in entry:
        answers = [_answer(each) for each in entry["tries"]]
        return Tries([each for each in answers if not isinstance(each, Tries)])
    if "fault" in entry:
        return Fault(kind=FaultKind(entry["fault"]), retry_after=entry.get("retry_after"))
    calls = entry.get("calls", [entry] if "call" in entry else [])
    return Reply(
        text=entry.get("say", ""),
        calls=[Call(name=each["call"], arguments=each.get("with", {})) for each in calls],
        delay=entry.get("delay", 0.0),
        piece=entry.get("piece", 12),
    )
