"""Whatever a session's tasks log says of which conversation it is."""

from collections.abc import Callable

from structlog.contextvars import get_contextvars

from openhands_sessions.ports.memory import RecalledKnowledge
from openhands_sessions.ports.model import LostCall, ModelReply, ModelRequest, Retry
from openhands_sessions.ports.runtime import Workspace
from openhands_sessions.ports.store import SessionStore
from tests.fakes.model import FakeModel
from tests.support.session_harness import SessionHarness, ask, says
from tests.support.store_entries import TALK


class NotingMemory:
    """Notes what would stand in a line that is logged during set-up."""

    bound: object = None

    async def recall(self, files: Workspace) -> RecalledKnowledge:
        self.bound = get_contextvars().get("conversation_id")
        return RecalledKnowledge()


class NotingModel(FakeModel):
    """Notes what would stand in a line that is logged during a turn."""

    bound: object = None

    async def complete(
        self,
        request: ModelRequest,
        on_text: Callable[[str], None],
        on_retry: Callable[[Retry], None],
        on_thought: Callable[[str], None] = lambda text: None,
        on_lost: Callable[[LostCall], None] = lambda call: None,
    ) -> ModelReply:
        self.bound = get_contextvars().get("conversation_id")
        return await super().complete(request, on_text, on_retry, on_thought, on_lost)


async def test_a_line_of_a_session_names_its_conversation_and_no_other_line_does(store: SessionStore) -> None:
    memory, model = NotingMemory(), NotingModel([says("Hello.")])
    async with SessionHarness(store=store, model=model, memory=memory).live() as session:
        await ask(session, "hi")
        assert "conversation_id" not in get_contextvars()
    assert (memory.bound, model.bound) == (TALK, TALK)
