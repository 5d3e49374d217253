"""Recorded steps that are issued in place of the model, one after the other. Where that stands is in the view, so a
replay that was cut off goes on with the step that is next."""

from collections.abc import Sequence
from dataclasses import replace

from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.event import Event, Observation, Source
from openhands_sessions.core.events.observations import REPLAY_DIFFERS_ID, ErrorObservation
from openhands_sessions.core.events.own import PlannedCall
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.replay_progress import ReplayProgress
from openhands_sessions.core.trajectory import TrajectoryStep
from openhands_sessions.core.view import ConversationView
from openhands_sessions.session.knowledge_recall import KnowledgeRecall
from openhands_sessions.session.tool_registry import ToolRegistry

SHOWN = 200


class Replay:
    """One session's. Without steps there is nothing to replay, whatever the view says."""

    def __init__(self, steps: Sequence[TrajectoryStep], toolbox: ToolRegistry, knowledge: KnowledgeRecall) -> None:
        self._steps = steps
        self._tools = toolbox
        self._knowledge = knowledge

    def next(self, view: ConversationView) -> TrajectoryStep | None:
        """The step that is to be issued now; None where the model is to be asked."""
        place = view.replay
        if place is None or place.done >= len(self._steps):
            self._steps = ()  # it is over, and the session may live long
            return None
        return self._steps[place.done]

    def more(self, view: ConversationView) -> bool:
        """Whether steps follow the one that is to be issued now."""
        return view.replay is not None and view.replay.done + 1 < len(self._steps)

    def said(self, message: MessageAction, cause: EventId, first: EventId) -> Sequence[Event]:
        """What a message of the user's leads to. `first` is the id that the message will have."""
        said = MessageAction(
            source=Source.USER,
            content=message.content,
            image_urls=message.image_urls,
            file_urls=message.file_urls,
            cause=cause,
        )
        return (said, *self._knowledge.recalled(message.content, first + 1))

    def call(self, step: TrajectoryStep, place: ReplayProgress) -> PlannedCall:
        """The call that a model would have made."""
        name, arguments = self._tools.call(step.action)
        return PlannedCall(id=f"replay_{place.done}", name=name, arguments=arguments)

    def told(self, view: ConversationView, observation: Observation) -> Sequence[Event]:
        """An observation, and what users are told where it is another than the recorded one."""
        place = view.replay
        if place is None or observation.cause != place.action or not 0 < place.done <= len(self._steps):
            return (observation,)
        return (observation, *self._differing(place.done, observation))

    def refused(self, view: ConversationView, observation: Observation) -> Sequence[Event]:
        """As `told`, for a step that could not be issued and is yet to be recorded with what came of it."""
        if self.next(view) is None or view.replay is None:
            return (observation,)
        return (observation, *self._differing(view.replay.done + 1, observation))

    def _differing(self, number: int, observation: Observation) -> Sequence[Event]:
        step = self._steps[number - 1]
        difference = step.difference(observation)
        if difference is None:
            return ()
        what = replace(step.action, message=None).describe()
        shown = what if len(what) <= SHOWN else f"{what[:SHOWN]}…"
        text = f"The replay went otherwise at step {number} of {len(self._steps)} ({shown}): {difference}. It goes on."
        return (ErrorObservation(content=text, error_id=REPLAY_DIFFERS_ID),)
