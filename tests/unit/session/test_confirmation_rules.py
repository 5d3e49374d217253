"""Rules decide what runs, what waits for the user, and what is refused."""

from typing import Any

from openhands_sessions.core.commands import Answer
from openhands_sessions.core.events.observations import DENIED_ID, ErrorObservation
from openhands_sessions.ports.store import SessionStore
from tests.fakes.model import FakeCall, FakeModel, FakeReply
from tests.support.session_harness import SessionHarness, ask, only, runs, says, state

ASKED = "awaiting_user_confirmation"


def scene(store: SessionStore, *replies: FakeReply, rules: list[dict[str, Any]], **settings: Any) -> SessionHarness:
    return SessionHarness(store=store, model=FakeModel(replies), settings={"confirmation_rules": rules, **settings})


async def test_a_denied_call_does_not_run_and_the_model_reads_which_rule_denies_it(store: SessionStore) -> None:
    deny = {"tool": "execute_bash", "pattern": "rm *", "decision": "deny"}
    harness = scene(store, runs("rm a", "echo 1"), says("I see."), rules=[deny])
    async with harness.live() as session:
        await ask(session, "go")
    told = await harness.told()
    assert [line for line in told if line.startswith(("run", "ran", "error"))] == [
        f"error {DENIED_ID}",
        "run echo 1 (confirmed)",
        "ran echo 1: 1\n [0]",
    ]
    [denied] = only(await harness.events(), ErrorObservation)
    assert "deny for tool 'execute_bash', pattern 'rm *'" in denied.content
    results = [message["content"] for message in harness.model.requests[1].messages if message["role"] == "tool"]
    assert results[0] == denied.content


async def test_what_the_operator_denies_no_other_rule_allows(store: SessionStore) -> None:
    operators = ({"pattern": "rm b", "decision": "allow"}, {"pattern": "rm *", "decision": "deny"})
    harness = scene(store, runs("rm a", "rm b"), says("I see."), rules=[{"pattern": "*", "decision": "allow"}])
    harness.operators["confirmation_rules"] = operators
    async with harness.live() as session:
        await ask(session, "go")
    told = await harness.told()
    assert [line for line in told if line.startswith(("run", "error"))] == [
        f"error {DENIED_ID}",
        "run rm b (confirmed)",
    ]


async def test_a_rule_asks_without_confirmation_mode(store: SessionStore) -> None:
    harness = scene(store, runs("echo 1", "rm a"), says("Done."), rules=[{"pattern": "rm *", "decision": "ask"}])
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        assert "ran echo 1: 1\n [0]" in await harness.told()
        accepted = await session.submit(Answer(confirmed=True))
        await state(session, "awaiting_user_input", accepted.id)


async def test_a_rule_allows_in_confirmation_mode(store: SessionStore) -> None:
    allow = {"tool": "execute_bash", "pattern": "echo *", "decision": "allow"}
    harness = scene(store, runs("echo 1"), says("Done."), rules=[allow], confirmation_mode=True)
    async with harness.live() as session:
        await ask(session, "go")
    assert f"state {ASKED}" not in await harness.told()


async def test_what_changes_nothing_is_not_asked_about_but_can_be_denied(store: SessionStore) -> None:
    views = [FakeCall("str_replace_editor", {"command": "view", "path": path}) for path in ("a", "b")]
    rules = [{"pattern": "a", "decision": "ask"}, {"pattern": "b", "decision": "deny"}]
    harness = scene(store, FakeReply(calls=views), says("Done."), rules=rules)
    async with harness.live() as session:
        await ask(session, "go")
    told = await harness.told()
    assert f"state {ASKED}" not in told
    assert told.count(f"error {DENIED_ID}") == 1
