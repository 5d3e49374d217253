"""A session of a Python program: it talks to an agent, and everything is kept."""

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Literal, Self
from uuid import uuid4

from openhands_sessions.core.errors import BadInput, SessionBusy, UnknownAgent
from openhands_sessions.core.state_keys import StateAccess
from openhands_sessions.core.state_values import checked_key
from openhands_sessions.sdk.agent import Agent, checked_agents, running_in
from openhands_sessions.sdk.approval_methods import ApprovalMethods
from openhands_sessions.sdk.approvals import OnApproval
from openhands_sessions.sdk.file_methods import FileMethods
from openhands_sessions.sdk.history_methods import HistoryMethods
from openhands_sessions.sdk.known_arguments import known_arguments
from openhands_sessions.sdk.opening import Opening
from openhands_sessions.sdk.private_loop import aiterate, arrive, iterate, private_loop, wait_for
from openhands_sessions.sdk.results import StreamItem, TurnResult
from openhands_sessions.sdk.session_ids import session_id as checked_id
from openhands_sessions.sdk.session_ids import stored_id
from openhands_sessions.sdk.shared_state import SharedState
from openhands_sessions.sdk.state_methods import StateMethods
from openhands_sessions.sdk.version_methods import VersionMethods

_CHOICES = {
    "concurrency": ("queue", "reject"),
    "visibility": ("answers", "full"),
    "state_tool": ("off", "read", "write"),
}


@known_arguments
class Session(HistoryMethods, VersionMethods, StateMethods, ApprovalMethods, FileMethods):
    """A conversation with an agent, kept under its id: the same id goes on with it, in this process or a later one.

    Each method has a twin for async code, whose name begins with `a`: `await session.achat("Hello")`. Nothing is opened
    before the first call.
    """

    def __init__(
        self,
        session_id: str | None = None,
        *,
        agent: Agent | None = None,
        agents: Mapping[str, Agent] | None = None,
        visibility: Literal["answers", "full"] = "answers",
        shared_state: SharedState | None = None,
        store: str | None = None,
        user_id: str | None = None,
        app_name: str = "default",
        concurrency: Literal["queue", "reject"] = "queue",
        turn_timeout: float = 600.0,
        confirm: bool | Sequence[str] = False,
        on_approval: OnApproval | None = None,
        state_tool: StateAccess = "off",
    ) -> None:
        """`session_id` is any text of up to 200 characters; None for a new one. `store` is `sqlite:///FILE`, or
        `memory:`; None for the database of the user's data folder. With the `concurrency` `queue`, a message that comes
        while a turn runs waits for a turn of its own, and a session that another process has open is waited for; with
        `reject`, both are refused with SessionBusy. `turn_timeout` is in seconds.

        `agents` are several by name, in place of `agent`: `chat(..., agent=name)` speaks to one of them, otherwise to
        the first. They see what is said to each other, and their answers; with the `visibility` `full`, each other's
        tool calls too.

        With `confirm`, calls of tools that change something wait for an answer: all, or those of the tools with these
        names, which may have `*` in them; rules of the configuration hold too. `on_approval` is then asked, in a thread
        unless it is async, with the PendingBatch; without it, the turn raises ApprovalNeeded.

        `shared_state` becomes the state of the session; `app_name` is whose state `app:` names. With `state_tool`, the
        agents have a tool `state`: to `read` the states of session, user and app, or also to `write` the session's.
        Raises BadInput."""
        _check_choices(concurrency=concurrency, visibility=visibility, state_tool=state_tool)
        if not turn_timeout > 0:
            raise BadInput("turn_timeout", "must be a number of seconds above 0")
        self.session_id = checked_id(uuid4().hex if session_id is None else session_id)
        self.agents = checked_agents(agent, agents)
        self.agent = agent or next(iter(self.agents.values()), None) or Agent()
        opening = Opening(
            name=self.session_id,
            sid=stored_id(self.session_id),
            agent=self.agent,
            store=store,
            owner=user_id,
            waits=concurrency == "queue",
            timeout=turn_timeout,
            agents=self.agents,
            visibility=visibility,
            confirm=confirm if isinstance(confirm, bool) else tuple(confirm),
            on_approval=on_approval,
            app=checked_key(app_name),
            state_tool=state_tool,
        )
        super().__init__(opening, shared_state)

    def __repr__(self) -> str:
        return f"Session({self.session_id!r})"

    def chat(self, message: str, *, agent: str | None = None, idempotency_key: str | None = None) -> str:
        """Say something, to one of several agents or to the first, and return the answer; see `run`."""
        return wait_for(self._say(message, idempotency_key, agent), "chat").text

    async def achat(self, message: str, *, agent: str | None = None, idempotency_key: str | None = None) -> str:
        """As `chat`."""
        return (await arrive(self._say(message, idempotency_key, agent))).text

    def run(self, message: str, *, agent: str | None = None, idempotency_key: str | None = None) -> TurnResult:
        """Say something, and return what the turn has given. The same key again gives the recorded turn, and asks no
        model. Ctrl-C stops the turn. Raises TurnFailed, TurnTimeout, SessionBusy, BadInput, StorageError."""
        return wait_for(self._say(message, idempotency_key, agent), "run")

    async def arun(self, message: str, *, agent: str | None = None, idempotency_key: str | None = None) -> TurnResult:
        """As `run`; a cancel stops the turn."""
        return await arrive(self._say(message, idempotency_key, agent))

    def run_agent(self, agent: str, message: str, *, idempotency_key: str | None = None) -> TurnResult:
        """As `run`, of one of several agents by its name. Raises UnknownAgent, a KeyError with the names."""
        return wait_for(self._say(message, idempotency_key, agent), "run_agent")

    async def arun_agent(self, agent: str, message: str, *, idempotency_key: str | None = None) -> TurnResult:
        """As `run_agent`."""
        return await arrive(self._say(message, idempotency_key, agent))

    def stream(
        self, message: str, *, agent: str | None = None, idempotency_key: str | None = None
    ) -> Iterator[StreamItem]:
        """Say something, and give the pieces of the turn as they come, then its result. Leaving it early stops the
        turn. Raises as `run`."""
        return iterate(self._turn(self._checked(message, agent), idempotency_key, agent), "stream")

    def astream(
        self, message: str, *, agent: str | None = None, idempotency_key: str | None = None
    ) -> AsyncIterator[StreamItem]:
        """As `stream`."""
        return aiterate(self._turn(self._checked(message, agent), idempotency_key, agent))

    def cancel(self) -> None:
        """Stop the turn that runs; its `chat` raises TurnFailed. Nothing where none runs."""
        wait_for(self._on(lambda it: it.stop()), "cancel")

    async def acancel(self) -> None:
        """As `cancel`."""
        await arrive(self._on(lambda it: it.stop()))

    def get_history(
        self, limit: int | None = None, *, after: int = -1, before: int | None = None
    ) -> list[dict[str, Any]]:
        """The newest messages of the dialogue, oldest first, at most `limit`, between the events `after` and `before`:
        each has `role`, `content`, `timestamp`, `id`, `turn` and `agent`."""
        return wait_for(self._on(lambda it: it.history(limit, after, before)), "get_history")

    async def aget_history(
        self, limit: int | None = None, *, after: int = -1, before: int | None = None
    ) -> list[dict[str, Any]]:
        """As `get_history`."""
        return await arrive(self._on(lambda it: it.history(limit, after, before)))

    def events(self, *, after: int = -1, limit: int | None = None) -> list[Mapping[str, Any]]:
        """The events of the log after event `after`, also those that were taken back."""
        return wait_for(self._on(lambda it: it.events(after, limit)), "events")

    async def aevents(self, *, after: int = -1, limit: int | None = None) -> list[Mapping[str, Any]]:
        """As `events`."""
        return await arrive(self._on(lambda it: it.events(after, limit)))

    def tail(self, *, after: int | None = None) -> Iterator[Mapping[str, Any]]:
        """Events as they come, without end; first those after event `after`, if it is given."""
        return iterate(self._followed(after), "tail")

    def atail(self, *, after: int | None = None) -> AsyncIterator[Mapping[str, Any]]:
        """As `tail`."""
        return aiterate(self._followed(after))

    def close(self) -> None:
        """Let go of the session: a turn that runs is stopped. It opens again with the next call."""
        wait_for(self._close(), "close")

    async def aclose(self) -> None:
        """As `close`."""
        await arrive(self._close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _checked(self, message: str, agent: str | None) -> str:
        """Raises BadInput for what is no text, UnknownAgent, and SessionBusy for a message from within a turn of this
        session."""
        if agent is not None and agent not in self.agents:
            raise UnknownAgent(str(agent), self.agents)
        if not isinstance(message, str):
            raise BadInput("message", f"must be a text, not {type(message).__name__}")
        if running_in.get() == self._opening.sid:
            raise SessionBusy("a function of a turn cannot wait for another turn of its own session")
        return message

    def _say(self, message: str, key: str | None, agent: str | None) -> Coroutine[Any, Any, TurnResult]:
        return self._result(self._turn(self._checked(message, agent), key, agent))

    async def _close(self) -> None:
        if self._opened is not None and self._opened[0] is private_loop():
            await self._opened[1].conversation.close()

    async def _followed(self, after: int | None) -> AsyncGenerator[Mapping[str, Any], None]:
        conversation = (await self._calls()).conversation
        async with aclosing(conversation.tail(after)) as events:
            async for event in events:
                yield event

    async def _turn(self, message: str, key: str | None, agent: str | None) -> AsyncGenerator[StreamItem, None]:
        conversation = (await self._calls()).conversation
        async with aclosing(conversation.turn(message, key, agent)) as items:
            async for item in items:
                yield item


def _check_choices(**given: object) -> None:
    """Raises BadInput."""
    for name, value in given.items():
        *others, last = (f'"{each}"' for each in _CHOICES[name])
        if value not in _CHOICES[name]:
            raise BadInput(name, f"must be {', '.join(others)} or {last}")
