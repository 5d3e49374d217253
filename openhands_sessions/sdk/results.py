"""What turns of a program's session give back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from openhands_sessions.core.lineage import Checkpoint


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnUsage:
    """The model calls of one turn: tokens, and US dollars, None where no price is known."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnResult:
    """A turn that has ended with an answer. `messages` are those of the turn, as `get_history` has them; `checkpoint`
    is the place after it, for `restore_checkpoint`; `turn` is its id."""

    text: str
    messages: tuple[Mapping[str, Any], ...]
    usage: TurnUsage
    turn: int
    checkpoint: Checkpoint


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeResult:
    """What a merge has done: how many `turns` came from the other dialogue, 0 where all were here; the branch that
    what was left is now, None where it lies on another one. `conflicts` names turns that the two dialogues have in
    different orders, by the conversation and the event that each was first; `state_conflicts` the keys of the state
    that both have changed, whichever value was taken."""

    turns: int = 0
    left_branch: str | None = None
    conflicts: tuple[str, ...] = ()
    state_conflicts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamItem:
    """A piece of a turn. `text` is the next piece of the `reply`, of the `thought` before it, or of a command's
    `output`; with `restart`, the model begins its reply anew. An `event` of the log is in `event`, by its wire form;
    the last item, `result`, has the `result`."""

    kind: Literal["reply", "thought", "output", "restart", "event", "result"]
    text: str = ""
    event: Mapping[str, Any] | None = None
    result: TurnResult | None = None
