"""Events about copies of other events. Clients of the V0 protocol are not sent them."""

from dataclasses import dataclass

from openhands_sessions.core.events.event import Observation, kinds_of
from openhands_sessions.core.ids import EventId


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationForkedObservation(
    Observation, kind="conversation_forked", says="What comes before is a copy of {0.conversation} up to {0.event}"
):
    """The conversation begins with a copy of another one's visible events, up to its event `event`. What those have
    cost was spent there, and is not counted here."""

    conversation: str
    event: EventId


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryMergedObservation(
    Observation, kind="history_merged", says="Merged with {0.conversation}: {0.theirs} turns came from there"
):
    """The dialogue goes on with the turns of this conversation and of another one, or of another branch: copies of
    `ours` and `theirs` turns follow. `conflicts` are the origins of turns that the two have in different orders."""

    conversation: str
    branch: str = ""
    ours: int = 0
    theirs: int = 0
    conflicts: tuple[str, ...] = ()


COPY_OBSERVATIONS: dict[str, type[Observation]] = kinds_of(Observation, __name__, vars())
