"""The wish to have something remembered, in words that an agent can carry out."""

from collections.abc import Sequence

from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.event import Event, Source

NEWEST = 20
"""Messages that are looked at, the newest of those up to the event."""
LONGEST = 2_000
"""Characters of one message that are shown."""
WISH = """\
Write down what a future conversation about this repository should know, in `.openhands/microagents/repo.md`: keep what
is there and still true, add what we found out, and leave out what concerns this task alone. It is about what we said:
"""


def remember_prompt(events: Sequence[Event]) -> str:
    """A message to the agent, made of the messages among `events`, in their order."""
    said = [event for event in events if isinstance(event, MessageAction) and event.content.strip()]
    lines = [f"{_who(event)}: {_cut(event.content.strip())}" for event in said[-NEWEST:]]
    return "\n".join([WISH.rstrip(), "", *lines]).rstrip()


def _who(event: Event) -> str:
    return "user" if event.source is Source.USER else "agent"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
