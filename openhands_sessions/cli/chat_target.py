"""The conversation that a chat is about: made when there is something to send, not before."""

from collections.abc import Sequence
from uuid import uuid4

from openhands_sessions.cli.progress import ConversationUsage
from openhands_sessions.core.commands import Command, SetModel
from openhands_sessions.core.history_changes import HistoryChange
from openhands_sessions.core.history_commands import HistoryCommand
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.access import Access
from openhands_sessions.ports.gateway import Accepted, Gateway, SessionInfo, SessionSpec


class ChatTarget:
    """One conversation through the ports of its owner. `default_model` is what a new one gets; None where only the
    server knows. `call` is how the user calls `chat` at the same place again."""

    def __init__(self, access: Access, spec: SessionSpec, default_model: str | None = None, call: str = "") -> None:
        self._access = access
        self._spec = spec
        self._default_model = default_model
        self.call = call
        self.usage = ConversationUsage()
        self.is_open = False

    @property
    def sid(self) -> ConversationId:
        return self._spec.id

    @property
    def is_new(self) -> bool:
        return self._spec.create

    @property
    def gateway(self) -> Gateway:
        return self._access.gateway

    async def open(self) -> SessionInfo:
        """Make or join it. Raises what the Gateway does."""
        info = await self.gateway.open(self._spec)
        self.is_open = True
        return info

    async def submit(self, command: Command) -> Accepted:
        return await self.gateway.submit(self.sid, command)

    async def change_history(self, command: HistoryCommand) -> HistoryChange:
        """Carry out a command of the history; what it has done. Raises what the Gateway does."""
        accepted = await self.gateway.submit(self.sid, command, key=uuid4().hex)
        return await self._access.conversations.history_change(self.sid, accepted.id)

    @property
    def model(self) -> str:
        """The model in words."""
        session = self.gateway.session(self.sid) if self.is_open else None
        chosen = self._spec.settings.get("llm_model")
        named = self.usage.model or (session and session.settings.get("llm_model")) or chosen or self._default_model
        return str(named) if named else "what the server is configured with; it is chosen with your first message"

    @property
    def used(self) -> str:
        """The tokens and cost of the conversation in words; empty where nothing was used."""
        words = self.usage.since(ConversationUsage())
        return f"{words}; it reads at most {self.usage.window:,} tokens" if words and self.usage.window else words

    async def choose_model(self, name: str) -> None:
        """Have this model answer, from the next turn on. Raises what the Gateway does."""
        if self.is_new and not self.is_open:
            self._spec.settings["llm_model"] = name
            return
        await self.submit(SetModel(name))

    async def files(self, folder: str) -> Sequence[str]:
        return await self._access.workspaces.list_files(self.sid, folder)
