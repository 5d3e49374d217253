"""Which knowledge a message brings up."""

import pytest

from openhands_sessions.core.microagents import Microagent, triggered


def knowing(*triggers: str) -> Microagent:
    return Microagent(name="n", type="knowledge", content="c", triggers=triggers)


@pytest.mark.parametrize(
    ("trigger", "message"),
    [
        ("git", "use Git, please"),
        ("git", "git"),
        ("GIT", "(git)"),
        ("/deploy", "now /deploy it"),
        ("c++", "in C++20"),
        ("flaky test", "a Flaky Test again"),
        ("straße", "in der STRASSE"),
    ],
)
def test_a_trigger_is_found_as_a_word_in_any_case(trigger: str, message: str) -> None:
    microagent = knowing("nothing", trigger)
    assert triggered([microagent], message) == [(microagent, trigger)]


@pytest.mark.parametrize(("trigger", "message"), [("git", "digital"), ("git", "github"), ("a.b", "acb"), ("", "x")])
def test_a_part_of_a_word_is_no_trigger(trigger: str, message: str) -> None:
    assert triggered([knowing(trigger)], message) == []


def test_knowledge_without_triggers_is_brought_up_by_nothing() -> None:
    assert triggered([knowing()], "anything") == []
