"""Writes conversation folders as OpenHands 0.62 does."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

BEGUN = datetime(2025, 11, 3, 9, 0, 0, 123_456, UTC)
PAGE = 25
ICE = b"cos\nsystem\n(S'touch %s'\ntR."
"""A pickle that makes a file when it is opened."""
PROMPT = "You are an agent. Tools: execute_bash, str_replace_editor, finish."

Wire = dict[str, Any]


@dataclass
class Talk:
    """The events of one conversation, as they are made."""

    sid: str
    begun: datetime = BEGUN
    events: list[Wire] = field(default_factory=list)
    calls: int = 0

    @property
    def next(self) -> int:
        return len(self.events)

    def put(self, source: str, message: str = "", **wire: Any) -> int:
        number = self.next
        moment = (self.begun + timedelta(seconds=number)).replace(tzinfo=None).isoformat()
        self.events.append({"id": number, "timestamp": moment, "source": source, "message": message, **wire})
        return number

    def state(self, state: str, reason: str = "") -> int:
        extras = {"agent_state": state, "reason": reason}
        return self.put("environment", observation="agent_state_changed", content="", extras=extras)

    def wish(self, source: str, state: str) -> int:
        told = f"Agent state changed to {state}"
        return self.put(source, told, action="change_agent_state", args={"agent_state": state, "thought": ""})

    def opening(self) -> None:
        self.state("loading")
        self.put("agent", PROMPT, action="system", args={"content": PROMPT, "tools": [], "openhands_version": "0.62.0"})
        self.wish("environment", "awaiting_user_input")
        self.state("awaiting_user_input")

    def says(self, text: str) -> int:
        args = {"content": text, "file_urls": [], "image_urls": [], "wait_for_response": False, "security_risk": -1}
        said = self.put("user", text, action="message", args=args)
        first = not any(event.get("observation") == "recall" for event in self.events)
        kind = "workspace_context" if first else "knowledge"
        asked = self.put("user", action="recall", args={"recall_type": kind, "query": text, "thought": ""})
        self.state("running")
        found = {"recall_type": kind, "repo_instructions": "Be brief.", "working_dir": "/workspace"}
        name, extras = ("recall", found) if first else ("null", {})
        self.put("agent", "Added workspace context", cause=asked, observation=name, content="", extras=extras)
        return said

    def runs(self, command: str, printed: str | None = "", **more: Any) -> int:
        """An action of the agent, and what came of it; None: nothing did."""
        call = self.call("execute_bash", {"command": command, "security_risk": "LOW"})
        args = {
            "command": command,
            "thought": "",
            "hidden": False,
            "confirmation_state": "confirmed",
            "security_risk": 0,
        }
        action = self.put("agent", f"Running command: {command}", action="run", args={**args, **more}, **call)
        if printed is not None:
            self.printed(action, command, printed, call)
        return action

    def printed(self, cause: int, command: str, text: str, call: Wire) -> int:
        extras = {"command": command, "metadata": {"exit_code": 0, "pid": -1}, "hidden": False}
        return self.put("agent", cause=cause, observation="run", content=text, extras=extras, success=True, **call)

    def replies(self, text: str) -> None:
        args = {"content": text, "file_urls": None, "image_urls": None, "wait_for_response": True}
        self.put("agent", text, action="message", args=args, llm_metrics=self._spent())
        self.state("awaiting_user_input")

    def finishes(self, text: str) -> None:
        call = self.call("finish", {"message": text})
        self.put("agent", text, action="finish", args={"final_thought": text, "outputs": {}, "thought": ""}, **call)
        self.state("finished")

    def call(self, name: str, given: Wire) -> Wire:
        """`tool_call_metadata` and `llm_metrics` of an action for which the model was asked."""
        self.calls += 1
        asked = {"id": f"call_{self.sid[:4]}_{self.calls}", "type": "function"}
        asked["function"] = {"name": name, "arguments": json.dumps(given)}  # type: ignore[assignment]
        reply = {"id": f"reply-{self.calls}", "choices": [{"message": {"content": "", "tool_calls": [asked]}}]}
        metadata = {"function_name": name, "tool_call_id": asked["id"], "model_response": reply}
        return {"tool_call_metadata": {**metadata, "total_calls_in_response": 1}, "llm_metrics": self._spent()}

    def _spent(self) -> Wire:
        used = {"model": "default", "prompt_tokens": 1000 * self.calls, "completion_tokens": 42 * self.calls}
        return {"accumulated_cost": 0.01 * self.calls, "accumulated_token_usage": used}


def finished(talk: Talk) -> None:
    talk.opening()
    talk.says("list the files")
    talk.runs("ls -la", "total 0")
    talk.finishes("There are none.")


def long(talk: Talk) -> None:
    """More than two pages, in several turns."""
    talk.opening()
    for turn in range(8):
        talk.says(f"turn {turn}")
        talk.runs(f"echo {turn}", f"{turn}\n")
        talk.replies(f"That was {turn}.")


def refused(talk: Talk) -> None:
    """An action that was asked about, and refused."""
    talk.opening()
    talk.says("clean up")
    talk.state("awaiting_user_confirmation")
    asked = talk.runs("rm -rf build", None, confirmation_state="awaiting_confirmation")
    talk.wish("user", "user_rejected")
    again = talk.events[asked]
    args = {**again["args"], "confirmation_state": "rejected"}
    call = again["tool_call_metadata"]
    restated = talk.put("agent", again["message"], action="run", args=args, tool_call_metadata=call)
    talk.state("user_rejected")
    told: Wire = {"cause": restated, "observation": "user_rejected", "content": "Rejected.", "extras": {}}
    talk.put("agent", "Rejected.", **told, tool_call_metadata=call)
    talk.state("awaiting_user_input")


def agreed(talk: Talk) -> None:
    """An action that was asked about, and carried out under another number."""
    talk.opening()
    talk.says("make room")
    talk.state("awaiting_user_confirmation")
    asked = talk.runs("rm -rf build", None, confirmation_state="awaiting_confirmation")
    talk.wish("user", "user_confirmed")
    again = talk.events[asked]
    args = {**again["args"], "confirmation_state": "confirmed"}
    call = {"tool_call_metadata": again["tool_call_metadata"]}
    restated = talk.put("agent", again["message"], action="run", args=args, **call)
    talk.state("user_confirmed")
    talk.printed(restated, "rm -rf build", "", call)
    talk.state("running")
    talk.finishes("There is room.")


def asking(talk: Talk) -> None:
    """Ends with a question that nobody has answered."""
    talk.opening()
    talk.says("clean up")
    talk.state("awaiting_user_confirmation")
    talk.runs("touch must-not-be", None, confirmation_state="awaiting_confirmation")


def cut_off(talk: Talk) -> None:
    """Ends in the middle of a command: the other server died."""
    talk.opening()
    talk.says("begin")
    talk.runs("touch must-not-be", None)


def stopped(talk: Talk) -> None:
    """The command's own observation comes after that of the stop."""
    talk.opening()
    talk.says("take your time")
    ran = talk.runs("sleep 9", None)
    talk.wish("user", "stopped")
    told: Wire = {"cause": ran, "observation": "error", "content": "Stopped."}
    talk.put("agent", "Stopped.", **told, extras={"error_id": "AGENT_ERROR$ERROR_ACTION_NOT_EXECUTED_STOPPED"})
    talk.state("stopped")
    talk.printed(ran, "sleep 9", "", {})


def silent(talk: Talk) -> None:
    """Opened, and nothing said."""
    talk.opening()


SCENES: Sequence[Callable[[Talk], None]] = (finished, long, refused, agreed, asking, cut_off, stopped, silent)


def write(root: Path, talk: Talk, *, place: str = "sessions", **metadata: Any) -> Path:
    """A conversation with its events and all the other files that stand beside them; its folder."""
    folder = root / place / talk.sid
    (folder / "events").mkdir(parents=True, exist_ok=True)
    (folder / "event_cache").mkdir(exist_ok=True)
    for event in talk.events:
        (folder / "events" / f"{event['id']}.json").write_text(json.dumps(event))
    for start in range(0, len(talk.events) - PAGE + 1, PAGE):
        page = talk.events[start : start + PAGE]
        (folder / "event_cache" / f"{start}-{start + PAGE}.json").write_text(json.dumps(page))
    created = talk.begun
    told: Wire = {
        "conversation_id": talk.sid,
        "selected_repository": None,
        "user_id": None,
        "selected_branch": None,
        "git_provider": None,
        "title": f"Conversation {talk.sid[:5]}",
        "last_updated_at": (created + timedelta(seconds=talk.next)).isoformat(),
        "trigger": "gui",
        "pr_number": [],
        "created_at": created.isoformat(),
        "llm_model": "openai/fake",
        "accumulated_cost": 0.01 * talk.calls,
        "conversation_version": "V0",
    }
    (folder / "metadata.json").write_text(json.dumps(told | metadata))
    opened = ICE % str(root / "a-pickle-was-opened").encode()
    for name in ("agent_state.pkl", "conversation_stats.pkl"):
        (folder / name).write_bytes(base64.b64encode(opened))
    (folder / "llm_registry.json").write_text("{}")
    return folder


def installation(root: Path, conversations: int) -> list[Talk]:
    """A folder with so many conversations, of every scene; each a minute younger than the one before."""
    talks = []
    for number in range(conversations):
        talk = Talk(f"{number:04x}" + "ab" * 14, BEGUN + timedelta(minutes=number))
        SCENES[number % len(SCENES)](talk)
        write(root, talk, title=f"Talk {number}" if number % 2 else f"Conversation {talk.sid[:5]}")
        talks.append(talk)
    (root / "settings.json").write_text(json.dumps({"llm_api_key": "sk-in-clear"}))
    (root / ".jwt_secret").write_text("secret")
    return talks
