"""The conversations that the program of this process runs, and those that other programs run."""

from dataclasses import replace

from openhands_sessions.core.errors import BadInput, NotAccepting
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.layered_settings import LayeredSettings
from openhands_sessions.ports.program import PROGRAM, ProgramAgent
from openhands_sessions.ports.store import ConversationRow
from openhands_sessions.session.dependencies import Dependencies
from openhands_sessions.session.program_parts import parts_for, under

ELSEWHERE = "a program runs this conversation: it can be read here, and is spoken to in that program"


class ProgramConversations:
    """What this process's program gives to each of its conversations. Of a conversation that another program runs, no
    session is opened here: the agent's tools are functions of that program."""

    def __init__(self) -> None:
        self._agents: dict[ConversationId, ProgramAgent] = {}

    def put(self, sid: ConversationId, agent: ProgramAgent) -> None:
        """The program runs this conversation with this agent, from its next session on."""
        self._agents[sid] = agent

    def get(self, sid: ConversationId) -> ProgramAgent | None:
        return self._agents.get(sid)

    def forget(self, sid: ConversationId, agent: ProgramAgent) -> None:
        """The program does not run it with this agent any more."""
        if self._agents.get(sid) is agent:
            del self._agents[sid]

    def elsewhere(self, row: ConversationRow) -> bool:
        """Whether another program is to run it."""
        return row.trigger == PROGRAM and row.id not in self._agents

    def check(self, row: ConversationRow) -> None:
        """Raises NotAccepting for a conversation that another program is to run."""
        if self.elsewhere(row):
            raise NotAccepting(ELSEWHERE)

    def settings(self, sid: ConversationId, settings: LayeredSettings) -> LayeredSettings:
        """With the program's layer above all others, and above what the conversation began with. Raises BadInput where
        no model is named."""
        if (agent := self._agents.get(sid)) is None:
            return settings
        settings = replace(settings, owners=(*settings.owners, agent.settings), began_with={})
        for each in (agent, *agent.others):
            if under(settings, each).settings().llm_model is None:
                raise BadInput("llm", "is not set: name a model, as in Agent(llm=...), or in OHS_LLM__MODEL")
        return settings

    def parts(self, sid: ConversationId, parts: Dependencies, settings: LayeredSettings) -> Dependencies:
        """What the conversation's sessions are built from; `settings` are those with the program's layer."""
        agent = self._agents.get(sid)
        return parts if agent is None else parts_for(agent, parts, settings)
