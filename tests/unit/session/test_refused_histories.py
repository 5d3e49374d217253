"""A history that a provider refuses is mended once, and the conversation goes on."""

from itertools import pairwise
from typing import Any

import orjson
import pytest

from openhands_sessions.adapters.agents.model_agent import ModelAgents
from openhands_sessions.adapters.agents.shell import AgentChoice
from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.errors import ModelFailure, Refusal
from openhands_sessions.core.events.actions import CondensationAction
from openhands_sessions.core.events.event import Event
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import HistoryRepairedObservation
from openhands_sessions.core.history_form import NO_IMAGES
from openhands_sessions.ports.model import ModelRequest
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.agent_session import AgentSession
from tests.fakes.model import FAKE_USAGE, FakeCall, FakeModel, FakeReply, OneModel
from tests.fakes.summing_model import Refuses, SummingModel, is_sum
from tests.support.session_harness import SessionHarness, ask, only, runs, say, says, state

PICTURE = "data:image/png;base64,iVBORw0KGgo="
OTHER_PICTURE = "data:image/png;base64,iVBORw0KGgoAAAA="


def scene(store: SessionStore, model: SummingModel) -> SessionHarness:
    agents = AgentChoice({"default": ModelAgents(OneModel(model))})
    return SessionHarness(store=store, model=FakeModel([]), agents=agents)


def longer_than(characters: int) -> Refuses:
    return lambda request: Refusal.TOO_LONG if len(text_of(request)) > characters else None


def with_picture(picture: str, refusal: Refusal = Refusal.IMAGE) -> Refuses:
    return lambda request: refusal if picture in text_of(request) else None


def text_of(request: ModelRequest) -> str:
    return orjson.dumps([dict(message) for message in request.messages]).decode()


def roles(request: ModelRequest) -> list[Any]:
    return [message["role"] for message in request.messages]


def repairs(events: list[Event]) -> list[HistoryRepairedObservation]:
    return only(events, HistoryRepairedObservation)


def reasons(events: list[Event]) -> list[str]:
    return [one.reason for one in only(events, AgentStateChangedObservation) if one.agent_state == "error"]


async def look_at(session: AgentSession, picture: str) -> None:
    accepted = await session.submit(SendMessage(content="look", image_urls=(picture,)))
    await state(session, "awaiting_user_input", accepted.id)


@pytest.mark.parametrize("refusal", [Refusal.IMAGE, Refusal.UNKNOWN, Refusal.TOO_LARGE])
async def test_an_image_that_is_refused_is_left_out_and_stays_out_after_a_restart(
    store: SessionStore, refusal: Refusal
) -> None:
    model = SummingModel(
        says("I see none."), says("Forgotten."), says("Still here."), refuses=with_picture(PICTURE, refusal)
    )
    harness = scene(store, model)
    async with harness.live() as session:
        await look_at(session, PICTURE)
        await ask(session, "forget the picture")
    async with harness.live() as session:
        await ask(session, "and now?")
    assert len(model.refused) == 1
    assert all(NO_IMAGES in text_of(request) for request in model.taken)
    [repair] = repairs(await harness.events())
    assert "could not read an image" in repair.content
    assert reasons(await harness.events()) == []


async def test_an_image_after_one_that_was_refused_is_shown(store: SessionStore) -> None:
    model = SummingModel(says("I see none."), says("A cat."), refuses=with_picture(PICTURE))
    async with scene(store, model).live() as session:
        await look_at(session, PICTURE)
        await look_at(session, OTHER_PICTURE)
    assert len(model.refused) == 1
    assert OTHER_PICTURE in text_of(model.taken[-1])
    assert PICTURE not in text_of(model.taken[-1])


async def test_a_conversation_that_is_too_long_is_condensed_and_asked_again(store: SessionStore) -> None:
    work = [runs(f"echo {'x' * 2_000}{number}") for number in range(9)]
    model = SummingModel(*work, says("Done."), refuses=longer_than(12_000))
    harness = scene(store, model)
    async with harness.live() as session:
        await ask(session, "the task")
    events = await harness.events()
    assert len(model.refused) == 1, "what is known to be readable is not exceeded again"
    assert len(only(events, CondensationAction)) >= 2
    assert all("the task" in text_of(request) for request in model.taken)
    assert f"Summary of what happened before:\\nSummary {len(model.sums)}." in text_of(model.taken[-1])
    assert reasons(events) == []


async def test_a_known_window_is_kept_to_without_a_refusal(store: SessionStore) -> None:
    work = [runs(f"echo {'x' * 2_000}{number}") for number in range(9)]
    model = SummingModel(*work, says("Done."), refuses=longer_than(40_000), window=7_000)
    harness = scene(store, model)
    async with harness.live() as session:
        await ask(session, "the task")
    assert model.refused == []
    assert model.sums
    assert all(len(text_of(request)) < 30_000 for request in model.taken)


async def test_what_is_to_be_summed_up_goes_in_pieces_that_the_model_can_read(store: SessionStore) -> None:
    work = [runs(f"echo {'x' * 2_000}{number}") for number in range(12)]
    model = SummingModel(*work, says("Done."), says("Shorter."))
    harness = scene(store, model)
    async with harness.live() as session:
        await ask(session, "the task")
        model.refuses = longer_than(9_000)
        await ask(session, "go on")
    assert len(model.sums) >= 2
    assert model.sums[1].messages[0]["content"] == "Summary so far:\nSummary 1."
    used: Any = only(await harness.events(), CondensationAction)[-1].llm_metrics
    replies = len(work) + 1 + len(model.sums)
    assert used["accumulated_token_usage"]["prompt_tokens"] == FAKE_USAGE.prompt_tokens * replies, "each counts"


@pytest.mark.parametrize(
    "reply",
    [
        runs(f"echo {'x' * 25_000}"),
        runs(*[f"echo {number}{'x' * 9_000}" for number in range(4)]),
        FakeReply(calls=[FakeCall("execute_bash", {"command": f"true {'x' * 40_000}"})]),
    ],
)
async def test_where_nothing_can_be_left_out_long_texts_are_shortened(store: SessionStore, reply: FakeReply) -> None:
    model = SummingModel(reply, says("Done."), says("Yes."), refuses=longer_than(15_000))
    harness = scene(store, model)
    async with harness.live() as session:
        await ask(session, "the task")
        refused = len(model.refused)
        await ask(session, "still there?")
    assert len(model.refused) == refused, "it is remembered"
    assert "characters are left out here" in text_of(model.taken[-1])
    assert "the task" in text_of(model.taken[-1])
    assert any("without their middle" in repair.content for repair in repairs(await harness.events()))


async def test_a_message_longer_than_the_window_is_shown_in_part(store: SessionStore) -> None:
    model = SummingModel(says("Much."), says("Yes."), refuses=longer_than(10_000))
    harness = scene(store, model)
    async with harness.live() as session:
        await ask(session, f"begin {'x' * 300_000} end")
        await ask(session, "still there?")
    first = text_of(model.taken[0])
    assert "begin x" in first
    assert "x end" in first
    assert reasons(await harness.events()) == []


def bad_ids(request: ModelRequest) -> Refusal | None:
    ids = [call["id"] for message in request.messages for call in calls_of(message)]
    return Refusal.FORM if any(len(one) != 9 or not one.isalnum() for one in ids) else None


def calls_of(message: Any) -> list[Any]:
    return list(message.get("tool_calls") or ())


def no_calls_at_all(request: ModelRequest) -> Refusal | None:
    strange = {"tool", "system"} & set(roles(request)) or any(calls_of(message) for message in request.messages)
    return Refusal.FORM if strange else None


def alternating(request: ModelRequest) -> Refusal | None:
    found = [role for role in roles(request) if role != "system"]
    return Refusal.UNKNOWN if any(one == next_one for one, next_one in pairwise(found)) else None


@pytest.mark.parametrize("refuses", [bad_ids, no_calls_at_all], ids=["bad ids", "no calls"])
async def test_a_form_that_a_provider_does_not_take_is_made_simpler(store: SessionStore, refuses: Refuses) -> None:
    model = SummingModel(runs("echo hi"), says("Done."), says("Yes."), says("And yes."))
    harness = scene(store, model)
    async with harness.live() as session:
        await ask(session, "the task")
        model.refuses = refuses
        await ask(session, "still there?")
        refused = len(model.refused)
        await ask(session, "and now?")
    assert 1 <= refused <= 2
    assert len(model.refused) == refused, "it is remembered"
    assert "echo hi" in text_of(model.taken[-1])
    assert any("refused the form" in repair.content for repair in repairs(await harness.events()))


async def test_two_messages_of_one_speaker_in_a_row_are_joined_where_they_must_alternate(store: SessionStore) -> None:
    model = SummingModel(says("Hello."))
    harness = scene(store, model)
    async with harness.live() as session:
        await ask(session, "hi")
        model.refuses = lambda request: Refusal.UNKNOWN
        await say(session, "the first")
        await state(session, "error")
        model.refuses = alternating
        model.play(says("Both."))
        await ask(session, "the second")
    assert model.taken[-1].messages[-1]["content"] == "the first\n\nthe second"


async def test_where_nothing_helps_the_first_refusal_is_told_and_the_next_message_is_answered(
    store: SessionStore,
) -> None:
    model = SummingModel(runs("echo hi"), says("Done."), says("Better."))
    harness = scene(store, model)
    async with harness.live() as session:
        await ask(session, "the task")
        model.refuses = lambda request: Refusal.FORM if len(model.refused) == 0 else Refusal.UNKNOWN
        await say(session, "look")
        await state(session, "error")
        model.refuses = lambda request: None
        await ask(session, "again")
    assert len(model.refused) <= 4
    assert reasons(await harness.events()) == ["The model's provider refused the request: form."]
    assert repairs(await harness.events()) == []


async def test_a_refusal_that_the_history_is_not_to_blame_for_is_not_tried_again(store: SessionStore) -> None:
    model = SummingModel()
    model.play(FakeReply(fail=ModelFailure("STATUS$ERROR", "The key is wrong.")))
    harness = scene(store, model)
    async with harness.live() as session:
        await say(session, "hi")
        await state(session, "error")
    assert len(model.taken) == 1


async def test_a_summary_that_is_refused_for_its_form_leaves_a_note(store: SessionStore) -> None:
    work = [runs(f"echo {'x' * 2_000}{number}") for number in range(8)]
    limit = longer_than(12_000)
    model = SummingModel(
        *work, says("Done."), refuses=lambda request: Refusal.FORM if is_sum(request) else limit(request)
    )
    harness = scene(store, model)
    async with harness.live() as session:
        await ask(session, "the task")
    assert "(Older messages and results are left out.)" in text_of(model.taken[-1])


async def test_another_model_is_shown_the_usual_form(store: SessionStore) -> None:
    model = SummingModel(says("I see none."), says("A cat."), refuses=with_picture(PICTURE))
    harness = scene(store, model)
    async with harness.live() as session:
        await look_at(session, PICTURE)
    model.name = "sharper"
    model.refuses = lambda request: None
    async with harness.live() as session:
        await ask(session, "look again")
    assert PICTURE in text_of(model.taken[-1])
