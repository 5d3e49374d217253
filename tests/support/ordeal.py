"""Conversations that go on while whatever carries them out is killed, and what must be true of them afterwards."""

import asyncio
from collections import Counter

import aiohttp

from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.core.events.observations import NO_EXIT_CODE, NOT_RUN_ID, UNKNOWN_OUTCOME_ID
from openhands_sessions.core.ids import ConversationId, EventId, action_key
from tests.support.guests import Guests
from tests.support.seen import Event, kind_of, shown
from tests.support.wire import Cut, Refused

MARK = "echo $OHS_ACTION_ID >> ran"
CODE = 3
"""With which every command of `work` ends."""
SCRIPT = f"""\
name: ordeal
replies:
  - when: work
    steps:
      - {{call: execute_bash, with: {{command: "{MARK}; echo begun; sleep 0.3; echo over; (exit {CODE})"}}}}
      - {{call: execute_bash, with: {{command: "echo begun; sleep 0.3; {MARK}; echo over; (exit {CODE})"}}}}
      - {{call: execute_bash, with: {{command: "echo begun; (sleep 0.2; {MARK}) | cat; echo over; (exit {CODE})"}}}}
      - {{say: "Done."}}
  - when: check
    steps:
      - {{call: execute_bash, with: {{command: "{MARK}; echo alive; (exit {CODE})"}}}}
      - {{say: "Checked."}}
"""
TURN_WITHIN = 60.0
_KNOCK_AGAIN = 0.05
"""Seconds between two tries to connect where the server is there, but the conversation is not yet."""
_GONE = (Cut, Refused, aiohttp.ClientError)


class Talk:
    """One conversation, and a client that does not let go of it. `calm` is set while nothing is known to be down."""

    def __init__(self, guests: Guests, sid: str, place: SandboxPaths, calm: asyncio.Event) -> None:
        self.sid = sid
        self.place = place
        self.client = guests.protocol2(sid)
        self.acknowledged: dict[str, int] = {}
        """For each message's key, its id."""
        self._calm = calm

    @property
    def at_work(self) -> bool:
        """Whether a command runs, or is about to."""
        return bool(self.client.events) and self.client.events[-1].get("action") == "run"

    async def go_on(self, over: asyncio.Event) -> None:
        """Have it work until it is over, and then once more."""
        turns = 0
        while not over.is_set():
            turns += 1
            await self.turn("work", f"{self.sid}-{turns}")
        await self.turn("check", f"{self.sid}-last")

    async def turn(self, text: str, key: str) -> None:
        """Say something and see the turn end, over as many connections as it takes."""
        try:
            async with asyncio.timeout(TURN_WITHIN):
                await self._calm.wait()
                while not await self._tried(text, key):
                    await asyncio.sleep(_KNOCK_AGAIN)
                    await self._calm.wait()
        except TimeoutError:
            raise TimeoutError(f"{key}: no end; the last events: {shown(self.client.events[-8:])}") from None

    async def _tried(self, text: str, key: str) -> bool:
        client = self.client
        try:
            if not client.connected:
                await client.connect()
            answer = await client.command("message", content=text, key=key)
            if not answer["ok"]:
                await client.leave()
                return False
            known = self.acknowledged.setdefault(key, answer["id"])
            assert known == answer["id"], "the same key was answered in two ways"
            await client.until_event(lambda event: _ends(event, known), after=known, within=TURN_WITHIN)
        except _GONE:
            return False
        return True

    def check(self, log: list[Event]) -> Counter[str]:
        """Judge the log against what the commands have left behind; how many actions ended how."""
        assert [event["id"] for event in log] == list(range(len(log)))
        assert self.client.events == log
        assert self.client.faults == []
        for key, event_id in self.acknowledged.items():
            assert kind_of(log[event_id]) == "action:message", key
            assert log[event_id]["source"] == "user", key
        endings, last = _judged(log, Counter((self.place.workspace / "ran").read_text().split()), self.sid)
        assert last == "done", shown(log[-8:])
        return endings


def _ends(event: Event, message: int) -> bool:
    """Whether it ends a turn in which the message was taken up."""
    return event.get("observation") == "turn_ended" and int(event["extras"]["seen"]) >= message


def _judged(log: list[Event], ran: Counter[str], sid: str) -> tuple[Counter[str], str]:
    """How many actions ended how, and how the last one did."""
    assert [key for key, times in ran.items() if times > 1] == [], "a command ran twice"
    actions = [event for event in log if event.get("action") == "run"]
    left = set(ran)
    ending = ""
    endings: Counter[str] = Counter()
    for action in actions:
        answers = [event for event in log if "observation" in event and event.get("cause") == action["id"]]
        assert len(answers) == 1, f"action {action['id']} has {len(answers)} results"
        key = action_key(ConversationId(sid), EventId(action["id"]))
        ending, allowed = _ending(answers[0])
        assert ran[key] in allowed, f"{ending}, but it was done {ran[key]} times: {answers[0]}"
        left.discard(key)
        endings[ending] += 1
    assert left == set(), "what ran is not in the log"
    return endings, ending


def _ending(answer: Event) -> tuple[str, tuple[int, ...]]:
    """What an observation says, and how often the command may then have left its mark."""
    match answer:
        case {"observation": "run", "extras": {"metadata": {"exit_code": code}}} if code == CODE:
            assert answer["content"].split() in (["begun", "over"], ["alive"]), answer
            return "done", (1,)
        case {"observation": "run", "extras": {"metadata": {"exit_code": code}}} if code == NO_EXIT_CODE:
            assert "ended by force" in answer["content"], answer
            return "ended by force", (0, 1)
        case {"observation": "error", "extras": {"error_id": error}} if error == UNKNOWN_OUTCOME_ID:
            return "unknown", (0, 1)
        case {"observation": "error", "extras": {"error_id": error}} if error == NOT_RUN_ID:
            return "not run", (0,)
    raise AssertionError(f"neither an outcome nor an unknown one: {answer}")
