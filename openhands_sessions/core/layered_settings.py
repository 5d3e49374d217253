"""The settings of one conversation as their layers give them, with the model that its user has chosen for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from openhands_sessions.core.events.event import Json
from openhands_sessions.core.settings import SessionSettings, holding, merge, together


@dataclass(frozen=True, slots=True)
class LayeredSettings:
    """`operators` layers, then the `owners`: those of the user and of the request. `began_with` is what is held of the
    settings with which the conversation began."""

    operators: Sequence[Mapping[str, Json]]
    owners: Sequence[Mapping[str, Json]]
    began_with: Mapping[str, Json] = field(default_factory=dict)

    def settings(self, model: str | None = None) -> SessionSettings:
        """The settings, with this model in place of theirs. It is one layer more: a key and an address go with it to
        their own provider alone. Raises BadInput."""
        chosen: Mapping[str, Json] = {} if model is None else {"llm_model": model}
        merged = holding(merge(*self.operators, together(*self.owners, chosen)), self.began_with)
        rules = [layer.get("confirmation_rules") for layer in self.operators]
        return merged.with_operators_rules(sum(len(each) for each in rules if isinstance(each, list | tuple)))

    def held(self, began_with: Mapping[str, Json] | None) -> "LayeredSettings":
        """With what a conversation began with, where that is known."""
        return self if began_with is None else replace(self, began_with=began_with)
