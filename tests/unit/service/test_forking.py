"""A fork begins with what was said, at a turn's end, and owes, costs and runs nothing of it."""

import json
from typing import Any

import pytest

from openhands_sessions.core.commands import SendMessage, SetModel
from openhands_sessions.core.errors import (
    BadInput,
    Forbidden,
    LimitReached,
    NotAccepting,
    NotFound,
    StorageUnavailable,
    TooLarge,
)
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.event import Event
from openhands_sessions.core.events.own import SandboxReplacedObservation
from openhands_sessions.core.history_commands import CreateCheckpoint, Undo
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.permissions import Permission
from openhands_sessions.core.state import StateChange, StateOp, StateOperation
from openhands_sessions.core.stored_view import load_view
from openhands_sessions.ports.conversations import ForkSpec
from openhands_sessions.ports.model import ModelSpec
from openhands_sessions.ports.state import StateScope
from openhands_sessions.ports.store import ConversationRow, SessionStore
from openhands_sessions.service import forking
from openhands_sessions.service.forking import FORK_KEY
from openhands_sessions.service.settings import conversation_folder, user_file
from tests.fakes.files import MemoryFiles
from tests.fakes.model import FakeModel, FakeModels, FakeReply
from tests.support.moved_logs import views_of
from tests.support.service_layer import ADA, BOB, TALK, ServiceLayer, running_service
from tests.support.session_harness import runs, says, state
from tests.support.store_entries import NOW, read

FORK = ConversationId("fork")
ASKED = "awaiting_user_confirmation"


def layer(store: SessionStore, *replies: FakeReply, **more: Any) -> ServiceLayer:
    settings = {"llm_model": "fake", **more.pop("settings", {})}
    models = FakeModels(FakeModel(replies), FakeModel(replies, name="another"))
    return ServiceLayer(store=store, models=models, layers=(settings,), **more)


async def say(service: ServiceLayer, text: str, sid: str = "talk") -> None:
    session = await service.open(sid, ADA)
    accepted = await service.of(ADA).gateway.submit(ConversationId(sid), SendMessage(content=text))
    await state(session, "awaiting_user_input", accepted.id)


async def fork(service: ServiceLayer, **about: Any) -> ConversationRow:
    await service.of(ADA).conversations.fork(TALK, ForkSpec(id=FORK, **about))
    row = await service.store.conversations.get(FORK)
    assert row is not None
    return row


def setting(**values: Any) -> StateChange:
    operations = tuple(StateOperation(StateOp.SET, key, value) for key, value in values.items())
    return StateChange(id="one", operations=operations, actor=ADA, timestamp=NOW)


async def events(service: ServiceLayer, sid: ConversationId) -> list[Event]:
    return [decode(entry.text, entry.schema) for entry in await read(service.store.log(sid))]


async def test_a_fork_goes_on_apart_from_what_it_was_copied_from(store: SessionStore) -> None:
    async with running_service(layer(store, says("one!"), runs("echo 2"), says("two!"), says("three!"))) as service:
        await say(service, "one")
        await say(service, "two")
        before = await read(store.log(TALK))
        row = await fork(service)
        assert (row.owner, row.forked_from, row.initial_message) == (ADA, TALK, None)
        folded = views_of(await events(service, FORK))[-1]
        snapshot = await store.snapshots.load(FORK)
        assert snapshot is not None
        assert load_view(snapshot.text) == folded
        assert folded.spent.cost == 0
        assert (await service.of(ADA).gateway.describe(FORK)).cost == 0.0
        await say(service, "three", "fork")
        assert (await service.of(ADA).gateway.describe(FORK)).cost == 0.001
        assert await read(store.log(TALK)) == before
        shown: Any = (await service.models.open(ModelSpec(name="fake"))).requests[-1].messages
    said = [message["content"] for message in shown if message["role"] in ("user", "assistant")]
    assert [text for text in said if text and "\n" not in text][:2] == ["one", "one!"]
    assert "three" in str(said)
    told = [event for event in await events(service, FORK) if isinstance(event, SandboxReplacedObservation)]
    assert len(told) == 1, "the model is told once, and no journal is asked about what was copied"


async def test_a_turn_that_runs_or_asks_is_not_copied(store: SessionStore) -> None:
    settings = {"confirmation_mode": True}
    async with running_service(layer(store, says("one!"), runs("echo 2"), settings=settings)) as service:
        await say(service, "one")
        session = await service.open("talk", ADA)
        accepted = await service.of(ADA).gateway.submit(TALK, SendMessage(content="two"))
        await state(session, ASKED, accepted.id)
        await fork(service)
        view = views_of(await events(service, FORK))[-1]
        assert view.between_turns
        turns = (await service.of(ADA).conversations.history(FORK, limit=10)).turns
        assert [turn.text for turn in turns] == ["one"]
        assert (await service.of(ADA).gateway.describe(TALK)).pending is not None


async def test_a_fork_has_the_visible_dialogue_and_its_checkpoints_alone(store: SessionStore) -> None:
    async with running_service(layer(store, says("one!"), says("two!"), says("three!"))) as service:
        await say(service, "one")
        await service.of(ADA).gateway.submit(TALK, CreateCheckpoint(name="here", description="a good place"))
        await say(service, "two")
        await service.of(ADA).gateway.submit(TALK, Undo())
        await say(service, "three")
        await fork(service)
        history = await service.of(ADA).conversations.history(FORK, limit=10)
        assert [turn.text for turn in history.turns] == ["one", "three"]
        assert [(one.name, one.description) for one in history.checkpoints] == [("here", "a good place")]
        assert list(history.branches) == []
        await service.of(ADA).conversations.fork(TALK, ForkSpec(id=ConversationId("b"), checkpoint="here"))
        history = await service.of(ADA).conversations.history(ConversationId("b"), limit=10)
        assert [turn.text for turn in history.turns] == ["one"]


async def test_no_key_of_a_client_is_taken_by_the_making_of_a_fork(store: SessionStore) -> None:
    async with running_service(layer(store, says("one!"), says("two!"))) as service:
        await say(service, "one")
        await fork(service)
        for _ in range(2):
            await service.of(ADA).gateway.submit(FORK, SendMessage(content="two"), key="fork")
        with pytest.raises(BadInput, match="NUL"):
            await service.of(ADA).gateway.submit(FORK, SendMessage(content="two"), key=FORK_KEY)
        await fork(service)


async def test_the_model_that_was_chosen_holds_in_the_fork_too(store: SessionStore) -> None:
    async with running_service(layer(store, says("one!"), says("two!"))) as service:
        await say(service, "one")
        await say(service, "two")
        await service.of(ADA).gateway.submit(TALK, SetModel(model="another"))
        await service.of(ADA).gateway.submit(TALK, Undo())
        await fork(service)
        assert views_of(await events(service, FORK))[-1].model == "another"


async def test_a_fork_counts_as_a_conversation_of_whoever_makes_it(store: SessionStore) -> None:
    async with running_service(layer(store, says("one!"), max_conversations=1)) as service:
        await say(service, "one")
        await service.of(ADA).states.change(StateScope.session(TALK), setting(large="x" * 100_000))
        before = await service.files.list()
        with pytest.raises(LimitReached):
            await fork(service)
        assert await store.conversations.get(FORK) is None
        assert await service.files.list() == before


class ForgetfulFiles(MemoryFiles):
    """Does not write the first secrets of a fork."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses = True

    async def write(self, key: str, content: bytes) -> None:
        if self.refuses and key == f"{conversation_folder(FORK)}/secrets.json":
            self.refuses = False
            raise StorageUnavailable("the disk is full")
        await super().write(key, content)


async def test_a_fork_whose_keys_were_not_kept_gets_them_when_it_is_asked_for_again(store: SessionStore) -> None:
    async with running_service(layer(store, says("one!"), files=ForgetfulFiles())) as service:
        await service.open("talk", ADA, settings={"llm_api_key": "sk-of-ada"})
        await say(service, "one")
        with pytest.raises(StorageUnavailable):
            await fork(service)
        row = await fork(service)
        assert await service.settings.kept(FORK, row.settings) == {"llm_api_key": "sk-of-ada"}
        await service.settings.keep(FORK, b'{"llm_api_key": "another"}')
        await fork(service)
        assert await service.settings.kept(FORK, {}) == {"llm_api_key": "another"}, "what is kept stays"


async def test_a_guest_forks_what_it_may_see_without_the_settings_of_the_owner(store: SessionStore) -> None:
    spec = {"settings": {"llm_api_key": "sk-of-ada", "max_iterations": 7}}
    async with running_service(layer(store, says("one!"))) as service:
        await service.open("talk", ADA, **spec)
        await say(service, "one")
        theirs = service.of(BOB).conversations
        with pytest.raises(NotFound):
            await theirs.fork(TALK, ForkSpec(id=FORK))
        await service.of(ADA).sharing.grant(TALK, BOB, Permission.VIEW)
        await theirs.fork(TALK, ForkSpec(id=FORK))
        row = await store.conversations.get(FORK)
        assert row is not None
        assert (row.owner, row.settings) == (BOB, {})
        assert await service.settings.kept(FORK, row.settings) == {}
        mine = ForkSpec(id=ConversationId("mine"))
        await service.of(ADA).conversations.fork(TALK, mine)
        assert (await service.settings.kept(mine.id, {}))["llm_api_key"] == "sk-of-ada"
        link = (await service.of(ADA).sharing.new_link(TALK, Permission.VIEW, 60.0)).token
        with pytest.raises(Forbidden):
            await service.by_link(await service.links.read(link)).conversations.fork(
                TALK, ForkSpec(id=ConversationId("c"))
            )


async def test_a_secret_that_is_known_since_is_in_no_value_of_the_forks_state(store: SessionStore) -> None:
    secret, scope = "a word that is secret now", StateScope.session(FORK)
    async with running_service(layer(store, says("one!"))) as service:
        await say(service, "one")
        values = {"small": {"text": [secret]}, "large": f"{secret} " * 10_000}
        await service.of(ADA).states.change(StateScope.session(TALK), setting(**values))
        await service.files.write(user_file(ADA, "secrets"), json.dumps({"WORD": {"value": secret}}).encode())
        await fork(service)
        states = service.of(ADA).states
        assert secret not in str(await states.changes(scope, limit=9))
        assert str((await states.read(scope)).values()) == str({"small": {"text": ["<secret_hidden>"]}})
        assert secret not in str(await states.file(scope, "large"))


async def test_what_is_too_large_or_has_no_prompt_yet_makes_no_fork(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_service(layer(store, says("one!"))) as service:
        row = ConversationRow(id=TALK, owner=ADA, created_at=service.now(), updated_at=service.now())
        await store.conversations.create(row)
        with pytest.raises(NotAccepting):
            await fork(service)
        await say(service, "one")
        monkeypatch.setattr(forking, "MOST_BYTES", 100)
        with pytest.raises(TooLarge):
            await fork(service)
        assert await store.conversations.get(FORK) is None
