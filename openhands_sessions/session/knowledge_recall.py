"""What a message brings to mind, recorded with it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from openhands_sessions.core.events.actions import RecallAction
from openhands_sessions.core.events.event import AgentState, Event, Source
from openhands_sessions.core.events.observations import (
    AgentStateChangedObservation,
    MicroagentKnowledge,
    RecallObservation,
)
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.microagents import triggered
from openhands_sessions.core.repository import Repository
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.ports.memory import RecalledKnowledge

WORKSPACE = "Added what is known of the workspace."
KNOWLEDGE = "Added what is known about this."


class KnowledgeRecall:
    """One session's. Knowledge is told once, when it is brought up first; a later session tells it again."""

    def __init__(
        self,
        found: RecalledKnowledge,
        settings: SessionSettings,
        clock: Callable[[], datetime],
        repository: Repository | None = None,
    ) -> None:
        """`repository` is what the workspace began with."""
        self._found = found
        self._clock = clock
        self._repository = repository if repository is not None and repository.name else None
        self._instructions = settings.conversation_instructions or ""
        self._secrets = {name: secret.description for name, secret in settings.custom_secrets.items()}
        self._told: set[str] = set()
        self.problems = found.problems
        """The files that were not understood, and why."""

    def forget(self) -> None:
        """What was told may be out of sight: tell it again when it is brought up next."""
        self._told.clear()

    def taking_up(self, query: str, first: int, *, whole: bool) -> Sequence[Event]:
        """What follows a message that begins a turn: the state, and what it brings to mind; `whole` adds what is known
        of the workspace. `first` is the id of the first of these events."""
        running = AgentStateChangedObservation(agent_state=AgentState.RUNNING)
        recalled = self.recalled(query, first, whole=whole)
        return (recalled[0], running, *recalled[1:]) if recalled else (running,)

    def recalled(self, query: str, first: int, *, whole: bool = False) -> Sequence[Event]:
        """The asking and its answer; nothing where nothing comes to mind."""
        knowledge = self._knowledge(query)
        if not whole and not knowledge:
            return ()
        kind = "workspace_context" if whole else "knowledge"
        asked = RecallAction(source=Source.USER, recall_type=kind, query=query)
        told = RecallObservation(
            cause=EventId(first), content=KNOWLEDGE, recall_type=kind, microagent_knowledge=knowledge
        )
        return (asked, self._with_workspace(told) if whole else told)

    def _with_workspace(self, told: RecallObservation) -> RecallObservation:
        repository = self._repository
        return replace(
            told,
            content=WORKSPACE,
            repo_name="" if repository is None else repository.name,
            repo_directory="" if repository is None else self._found.working_dir,
            repo_branch="" if repository is None else repository.branch or "",
            repo_instructions=self._found.instructions,
            conversation_instructions=self._instructions,
            working_dir=self._found.working_dir,
            date=self._clock().date().isoformat(),
            custom_secrets_descriptions=dict(self._secrets),
        )

    def _knowledge(self, query: str) -> tuple[MicroagentKnowledge, ...]:
        if not self._found.microagents:
            return ()
        fresh = [found for found in triggered(self._found.microagents, query) if found[0].name not in self._told]
        self._told.update(microagent.name for microagent, _ in fresh)
        return tuple(
            MicroagentKnowledge(name=microagent.name, trigger=trigger, content=microagent.content)
            for microagent, trigger in fresh
        )
