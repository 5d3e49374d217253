"""The settings of live sessions: those of the same layers share one object."""

from collections.abc import Callable
from hashlib import sha256
from weakref import WeakValueDictionary

from openhands_sessions.core.layered_settings import LayeredSettings
from openhands_sessions.core.settings import SessionSettings


class SharedSettings:
    """By what they were made from, as long as a session has them: most conversations of a server have the same."""

    def __init__(self) -> None:
        self._made: WeakValueDictionary[tuple[bytes, str | None], SessionSettings] = WeakValueDictionary()

    def of(self, layers: LayeredSettings) -> Callable[[str | None], SessionSettings]:
        """As `layers.settings`."""
        made_from = repr((layers.operators, layers.owners, layers.began_with))
        digest = sha256(made_from.encode(errors="surrogatepass")).digest()

        def settings(model: str | None) -> SessionSettings:
            key = digest, model
            if (known := self._made.get(key)) is None:
                known = self._made[key] = layers.settings(model)
            return known

        return settings
