"""Checks and masks the changes of states, without holding up the event loop."""

import asyncio

from openhands_sessions.core.errors import TooLarge
from openhands_sessions.core.masking import SecretMasker
from openhands_sessions.core.state import StateChange, checked, dump_change, without_secrets
from openhands_sessions.service.state_files import PlannedFiles, planned

LARGEST_CHANGE = 1024 * 1024
"""Bytes of a change as JSON text, without the values that are kept as files."""
_THREADS = 2
_FEW = 20
"""Operations and bases."""


class StateChecks:
    """Of all callers, in a few threads: a change may hold many thousands of texts, and each is searched for secrets."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(_THREADS)

    async def prepared(self, change: StateChange, masker: SecretMasker | None) -> PlannedFiles:
        """The change without the secrets that `masker` knows, if any, and the files that it needs. Raises BadInput,
        UnstorableValue, TooLarge."""
        if _is_small(change):
            return _prepared(change, masker)
        async with self._slots:
            return await asyncio.to_thread(_prepared, change, masker)


def has_texts(change: StateChange) -> bool:
    """Whether its values may hold texts."""
    return not all(
        isinstance(value, int | float | None) for each in change.operations for value in (each.value, each.expected)
    )


def _is_small(change: StateChange) -> bool:
    """Whether it costs less than the way to a thread."""
    return len(change.operations) + len(change.bases) <= _FEW and not has_texts(change)


def _prepared(change: StateChange, masker: SecretMasker | None) -> PlannedFiles:
    change = checked(change)
    plan = planned(change if masker is None else without_secrets(change, masker))
    size = len(dump_change(plan.change).encode())
    if size > LARGEST_CHANGE:
        raise TooLarge(
            f"the change would take {size:,} bytes, and may take {LARGEST_CHANGE:,}: make several of it", LARGEST_CHANGE
        )
    return plan
