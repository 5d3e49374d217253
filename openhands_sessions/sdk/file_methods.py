"""The methods of a session that have to do with files, each with its async twin."""

from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any, Generic, TypeVar

from openhands_sessions.core.errors import BadInput
from openhands_sessions.sdk.lazy_conversation import LazyConversation
from openhands_sessions.sdk.opening import ExportFormat, FileCalls
from openhands_sessions.sdk.private_loop import arrive, wait_for

T = TypeVar("T")


class OfClassOrInstance(Generic[T]):
    """A method that is called on a class, and then makes an object, or on an object, and then changes it. The function
    is given the class and the object, or None."""

    def __init__(self, function: Callable[..., T]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: Any, owner: type[Any]) -> Callable[..., T]:
        return partial(self._function, owner, instance)


class FileMethods(LazyConversation):
    """Save, load and export."""

    def save(self, path: str | PathLike[str], *, key: str | None = None) -> None:
        """Write the session, with its state, to a file, whatever its name ends with: as a whole or not at all, readable
        for you only, encrypted with `key` if one is given. The file that was there stays as `.bak`. Raises NotFound
        where nothing was said yet, StorageError."""
        wait_for(self._files(lambda it: it.save(Path(path), key)), "save")

    async def asave(self, path: str | PathLike[str], *, key: str | None = None) -> None:
        """As `save`."""
        await arrive(self._files(lambda it: it.save(Path(path), key)))

    def export(self, format: ExportFormat = "jsonl") -> str:
        """The visible dialogue as a text: its events, one a line (`jsonl`) or as a server exports them (`json`), as
        `markdown`, or as messages of OpenAI's chat form (`openai`)."""
        return wait_for(self._files(lambda it: it.export(format)), "export")

    async def aexport(self, format: ExportFormat = "jsonl") -> str:
        """As `export`."""
        return await arrive(self._files(lambda it: it.export(format)))

    @OfClassOrInstance
    def load(cls: type[Any], self: Any, path: str | PathLike[str], **given: Any) -> Any:  # noqa: N805
        """The session that a file holds, stored in `store`; `Session.load(path)` makes it, `session.load(path)` becomes
        it. A session that is there already gets what is new in the file, and then its state; where both have gone on, a
        warning tells the branch that the file's turns are, and the state stays. `agent` is given as to `Session`;
        without it, the file's has no tools. With `recover`, a damaged file gives what is sound of it. Raises
        CorruptSession, UnsafeFormat, BadInput, NotFound."""
        return wait_for(_load(cls, self, Path(path), given), "load")

    @OfClassOrInstance
    async def aload(cls: type[Any], self: Any, path: str | PathLike[str], **given: Any) -> Any:  # noqa: N805
        """As `load`."""
        return await arrive(_load(cls, self, Path(path), given))

    async def _files(self, work: Callable[[FileCalls], Awaitable[T]]) -> T:
        return await work((await self._calls()).files)


async def _load(kind: type[Any], instance: Any, path: Path, given: dict[str, Any]) -> Any:
    key, recover = given.pop("key", None), given.pop("recover", False)
    files = import_module("openhands_sessions.sdk.files")
    name, agent, file = await files.read_session(path, key, recover=recover)
    if instance is not None and given:
        raise BadInput(next(iter(given)), "is that of the session already: leave it out, or call load on the class")
    made = instance._sibling(name) if instance is not None else kind(name, **{"agent": agent, **given})
    await made._files(lambda it: it.take_in(file))
    if instance is None:
        return made
    instance.__dict__.update(made.__dict__)
    return instance
