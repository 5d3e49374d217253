"""Whether an action that a journal has never heard of has never run."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter
from openhands_sessions.core.errors import RuntimeUnavailable

P = ParamSpec("P")
T = TypeVar("T")


class JournalIdentity:
    """Remembers, out of the sandbox's reach, which journal actions were to be written in: one of another name took the
    place of a lost one, and knows nothing of what came before. All may raise RuntimeUnavailable.

    This assumes that no two actions of a conversation are open at once: the one that was open when the journal was
    lost has its answer before the next one is asked for."""

    def __init__(self, paths: SandboxPaths, limiter: ThreadLimiter) -> None:
        self._paths = paths
        self._limiter = limiter
        self._journal: str | None = None  # as it was last written down
        self._replaced = False
        self._asked_in: dict[str, str] = {}  # without an answer yet

    async def ask(self, key: str, journal: str) -> bool:
        """Before an action is asked for, of an executor with this journal, "" for one of a version without names. False
        where it was asked for in another one, and so may have run."""
        if key in self._asked_in:
            return self._asked_in[key] == journal
        if journal and journal != self._journal:
            known = await self._run(self._paths.known_journal)
            if known != journal:
                self._replaced = self._replaced or known is not None
                await self._run(self._paths.know_journal, journal)
            self._journal = journal
        self._asked_in[key] = journal
        return True

    def adopt(self, key: str, journal: str) -> None:
        """An action that somebody else asked for is under way, and stands in this journal."""
        self._asked_in.setdefault(key, journal)

    def asked(self, key: str) -> bool:
        """Whether it was, and has not answered."""
        return key in self._asked_in

    def answered(self, key: str) -> None:
        self._asked_in.pop(key, None)

    async def never_ran(self, key: str, journal: str | None) -> bool:
        """Whether it is sure of an action that this journal has not heard of; None for no journal at all."""
        if key in self._asked_in:
            return self._asked_in[key] == journal
        return not self._replaced and await self._run(self._paths.known_journal) in (None, journal)

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._limiter.run(function, *args, **kwargs)
        except OSError as error:
            raise RuntimeUnavailable(f"the sandbox's folder cannot be used: {error.strerror}") from error
