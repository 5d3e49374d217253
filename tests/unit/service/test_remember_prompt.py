"""The wish to have something remembered."""

from openhands_sessions.core.events.actions import MessageAction, RunAction
from openhands_sessions.core.events.event import Source
from openhands_sessions.service.local_conversations import LONGEST, NEWEST, WISH, remember_prompt


def test_it_says_who_said_what_and_nothing_else() -> None:
    asked = MessageAction(source=Source.USER, content="  use tabs ")
    ran = RunAction(source=Source.AGENT, command="ls")
    answered = MessageAction(source=Source.AGENT, content="tabs it is")
    told = remember_prompt([asked, ran, answered])
    assert told.startswith(WISH.rstrip())
    assert told.splitlines()[-2:] == ["user: use tabs", "agent: tabs it is"]


def test_it_stays_short() -> None:
    told = remember_prompt([MessageAction(source=Source.USER, content="x" * 10_000) for _ in range(100)])
    assert len(told) < NEWEST * (LONGEST + 20) + len(WISH)
    assert remember_prompt([]) == WISH.rstrip()
