"""Pulls of images: each image is fetched once, for all conversations that wait for it."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import requests
from docker.errors import APIError, DockerException
from docker.utils import parse_repository_tag
from urllib3.exceptions import HTTPError

from openhands_sessions.adapters.runtimes.docker.errors import STALLED, timed_out, user_error
from openhands_sessions.core.errors import RuntimeUnavailable

OnProgress = Callable[[int], None]
"""Called with percents of the bytes announced so far."""
_AT_ONCE = 4
_PATIENCE_SECONDS = 60.0
_ENDS = "the server ends"


class ImagePulls:
    """Each pull has a client and a thread of its own, because it may take minutes. `connect` creates the client; it is
    called in that thread. A pull without progress for `patience` seconds is given up. All methods may raise
    RuntimeUnavailable."""

    def __init__(self, connect: Callable[[], Any], *, patience: float = _PATIENCE_SECONDS) -> None:
        self._connect = connect
        self._patience = patience
        self._under_way: dict[str, _Pull] = {}
        self._ended = False

    async def fetch(self, image: str, on_progress: OnProgress) -> None:
        """Returns when the engine has the image. `on_progress` is called on the event loop. The pull goes on when the
        caller is cancelled."""
        if self._ended:
            raise RuntimeUnavailable(_ENDS)
        pull = self._under_way.get(image)
        if pull is None:
            if len(self._under_way) >= _AT_ONCE:
                raise RuntimeUnavailable("several other images are being fetched: try again when they are there")
            pull = self._under_way[image] = _Pull(image, self._connect, self._patience)
            pull.outcome.add_done_callback(lambda _: self._under_way.pop(image))
        await pull.awaited(on_progress)

    def end(self) -> None:
        """End the running pulls and refuse new ones. The thread of a pull that the engine has not answered yet goes on
        until the engine answers or the process ends, which it does not delay."""
        self._ended = True
        for pull in self._under_way.values():
            pull.end(_ENDS)


class _Pull:
    """The pull of one image; it begins at once."""

    def __init__(self, image: str, connect: Callable[[], Any], patience: float) -> None:
        self._image = image
        self._connect = connect
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(patience, self.end, STALLED)
        self.outcome: asyncio.Future[None] = self._loop.create_future()
        self.outcome.add_done_callback(lambda outcome: outcome.exception())  # its callers may be cancelled
        self._listeners: list[OnProgress] = []
        self._done: int | None = None
        self._answer: requests.Response | None = None
        self._ending = threading.Event()
        threading.Thread(target=self._work, name=f"docker pull {image}", daemon=True).start()

    async def awaited(self, on_progress: OnProgress) -> None:
        self._listeners.append(on_progress)
        try:
            if self._done is not None:
                on_progress(self._done)
            await asyncio.shield(self.outcome)
        finally:
            self._listeners.remove(on_progress)

    def end(self, why: str) -> None:
        self._ending.set()
        if self._answer is not None:
            with contextlib.suppress(OSError, RuntimeError, ValueError):  # it has just ended
                self._answer.raw.shutdown()
        self._settle(RuntimeUnavailable(why))

    def _work(self) -> None:
        error: RuntimeUnavailable | None = RuntimeUnavailable("the image could not be fetched")
        try:
            self._pull()
            error = None
        except RuntimeUnavailable as refusal:
            error = refusal
        except (OSError, HTTPError, requests.exceptions.RequestException, DockerException) as problem:
            error = RuntimeUnavailable(STALLED) if timed_out(problem) else user_error(problem)
        finally:
            if self._answer is not None:
                self._answer.close()
            self._on_loop(self._settle, error)

    def _pull(self) -> None:
        repository, tag = parse_repository_tag(self._image)
        layers: dict[str, tuple[int, int]] = {}
        with contextlib.closing(self._connect()) as client:
            client.hooks["response"].append(self._keep)
            for step in client.pull(repository, tag=tag or "latest", stream=True, decode=True):
                if self._ending.is_set():
                    return
                if "error" in step:
                    raise APIError(step["error"], explanation=step["error"])
                self._note(step, layers)

    def _keep(self, answer: requests.Response, **_: object) -> None:
        """Keep the streamed response, so that `end` can shut it down."""
        self._answer = answer
        if self._ending.is_set():
            raise RuntimeUnavailable(_ENDS)

    def _note(self, step: dict[str, Any], layers: dict[str, tuple[int, int]]) -> None:
        self._on_loop(self._restart_timer)
        detail = step.get("progressDetail") or {}
        if detail.get("total"):
            layers[step.get("id", "")] = (detail.get("current", 0), detail["total"])  # the engine omits a zero
            done = 100 * sum(each[0] for each in layers.values()) // sum(each[1] for each in layers.values())
            self._on_loop(self._report, done)

    def _restart_timer(self) -> None:
        if not self.outcome.done():
            self._timer.cancel()
            self._timer = self._loop.call_later(self._patience, self.end, STALLED)

    def _report(self, done: int) -> None:
        if done != self._done and not self.outcome.done():
            self._done = done
            for listener in tuple(self._listeners):
                listener(done)

    def _settle(self, error: RuntimeUnavailable | None) -> None:
        self._timer.cancel()
        if self.outcome.done():
            return
        if error is None:
            self.outcome.set_result(None)
        else:
            self.outcome.set_exception(error)

    def _on_loop(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(function, *arguments)
