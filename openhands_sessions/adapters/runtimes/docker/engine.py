"""The Docker engine: its blocking library, behind threads of its own and never on the event loop."""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import docker
import requests
from docker.errors import APIError, DockerException, NotFound
from docker.utils import kwargs_from_env
from urllib3.exceptions import HTTPError

from openhands_sessions.adapters.runtimes.docker.errors import NO_ENGINE, user_error
from openhands_sessions.adapters.runtimes.docker.image_pulls import ImagePulls, OnProgress
from openhands_sessions.core.errors import RuntimeUnavailable

T = TypeVar("T")
USUAL_ADDRESS = "unix:///var/run/docker.sock"
CONFLICT = 409
_THREADS = 8
_ANSWER_SECONDS = 60


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """A container as the engine describes it. `status` is the engine's: created, running, paused, exited, …; `made` is
    when, in seconds of the epoch, 0 where it was not asked for."""

    id: str
    name: str
    status: str
    labels: Mapping[str, str]
    out_of_memory: bool = False
    exit_code: int = 0
    made: float = 0.0


class DockerEngine:
    """One engine, by its socket. Every method may raise RuntimeUnavailable with what to do. A call that is cancelled
    goes on in its thread."""

    def __init__(self, address: str | None = None) -> None:
        self._address = address or os.environ.get("DOCKER_HOST") or USUAL_ADDRESS
        parts = urlsplit(self._address)
        self.host = None if parts.scheme == "unix" else parts.hostname or ""
        """The machine it runs on, where that is another one, which shares no folders with this; else None."""
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="docker")
        self._making = threading.Lock()
        self._client: Any = None
        self._pulls = ImagePulls(self._reached)

    async def ping(self) -> None:
        await self._run(lambda client: client.ping())

    async def version(self) -> str:
        answer = await self._run(lambda client: client.version())
        return str(answer["Version"])

    async def runtimes(self) -> Sequence[str]:
        """The names of what it can run containers with."""
        answer = await self._run(lambda client: client.info())
        return sorted(answer["Runtimes"])

    async def has_image(self, image: str) -> bool:
        return await self._run(lambda client: _or_none(client.inspect_image, image)) is not None

    async def find(self, name: str) -> ContainerInfo | None:
        """The container of this name or id."""
        described = await self._run(lambda client: _or_none(client.inspect_container, name))
        return None if described is None else _found(described)

    async def list(self, label: str) -> Sequence[ContainerInfo]:
        """The containers that carry `name=value`, running or not."""
        rows = await self._run(lambda client: client.containers(all=True, filters={"label": label}))
        return [
            ContainerInfo(row["Id"], _name_of(row), row["State"], row["Labels"] or {}, made=row["Created"])
            for row in rows
        ]

    async def create(self, name: str | None, recipe: Mapping[str, Any], labels: Mapping[str, str]) -> str:
        """Make a container and return its id; where one of this name is there already, that one's. Without a name, the
        engine thinks of one."""
        return await self._run(lambda client: _create(client, name, {**recipe, "Labels": dict(labels)}))

    async def start(self, container: str) -> None:
        await self._run(lambda client: client.start(container))

    async def put(self, container: str, folder: str, archive: bytes) -> None:
        """Unpack a tar archive into a folder of a container, which need not run."""
        await self._run(lambda client: client.put_archive(container, folder, archive))

    async def get(self, container: str, path: str, limit: int) -> bytes | None:
        """A path of a container as a tar archive, None where there is nothing. Raises RuntimeUnavailable for one larger
        than `limit` bytes."""
        return await self._run(lambda client: _or_none(_get, client, container, path, limit))

    async def port(self, container: str, inside: int) -> int | None:
        """Under which port of the engine's machine a container's is published; None where it does not run."""
        described = await self._run(lambda client: _or_none(client.inspect_container, container))
        published = described["NetworkSettings"]["Ports"].get(f"{inside}/tcp") if described is not None else None
        return int(published[0]["HostPort"]) if published else None

    async def volumes(self, label: str) -> Sequence[str]:
        """The names of those that carry `name=value`."""
        answer = await self._run(lambda client: client.volumes(filters={"label": label}))
        return [volume["Name"] for volume in answer["Volumes"] or ()]

    async def remove_volume(self, name: str) -> None:
        await self._run(lambda client: _or_none(client.remove_volume, name, force=True))

    async def rename(self, container: str, name: str) -> None:
        await self._run(lambda client: client.rename(container, name))

    async def pause(self, container: str) -> None:
        await self._run(lambda client: client.pause(container))

    async def unpause(self, container: str) -> None:
        await self._run(lambda client: client.unpause(container))

    async def remove(self, container: str) -> None:
        """End it by force, with the volumes that are its own; nothing where there is none."""
        await self._run(lambda client: _remove(client, container))

    async def words(self, container: str) -> str:
        """The last of what it printed."""
        said: bytes = await self._run(lambda client: client.logs(container, tail=20))
        return said.decode("utf-8", "replace").strip()

    async def wait(self, container: str, *, seconds: float = _ANSWER_SECONDS) -> int:
        """Its exit code, once it has ended."""
        answer = await self._run(lambda client: client.wait(container, timeout=seconds))
        return int(answer["StatusCode"])

    async def labels_of(self, image: str) -> Mapping[str, str]:
        """An image's labels; none for one that is not there."""
        described = await self._run(lambda client: _or_none(client.inspect_image, image))
        labels: Mapping[str, str] | None = described["Config"]["Labels"] if described is not None else None
        return labels or {}

    async def pull(self, image: str, on_progress: OnProgress) -> None:
        """Fetch an image; `on_progress` is called on the event loop with percents of the bytes that are known of."""
        await self._pulls.fetch(image, on_progress)

    async def make_network(self, name: str, options: Mapping[str, str], labels: Mapping[str, str]) -> None:
        """See to it that there is a bridge network of this name."""
        await self._run(lambda client: _make_network(client, name, options, labels))

    async def remove_network(self, name: str) -> None:
        await self._run(lambda client: _or_none(client.remove_network, name))

    def stop_pulling(self) -> None:
        """Calls end by themselves before long, but for this one."""
        self._pulls.end()

    async def close(self) -> None:
        """Waits for the calls under way."""
        self.stop_pulling()
        await asyncio.to_thread(self._threads.shutdown)
        if self._client is not None:
            self._client.close()

    async def _run(self, function: Callable[[Any], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._call, function)

    def _call(self, function: Callable[[Any], T]) -> T:
        try:
            self._knock()
            return function(self._connected())
        except (OSError, HTTPError, requests.exceptions.RequestException, DockerException) as error:
            raise user_error(error) from error

    def _knock(self) -> None:
        """The library leaves a socket open when it cannot connect, and does not say why it could not."""
        if self.host is not None:
            return
        path = self._address.partition("://")[2]
        try:
            with socket.socket(socket.AF_UNIX) as knock:
                knock.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            raise RuntimeUnavailable(NO_ENGINE) from None

    def _connected(self) -> Any:
        with self._making:
            if self._client is None:
                self._client = self._new_client()
            return self._client

    def _reached(self) -> Any:
        """A client of one's own."""
        self._knock()
        return self._new_client()

    def _new_client(self) -> Any:
        protection = {} if self.host is None else kwargs_from_env()  # DOCKER_TLS_VERIFY, DOCKER_CERT_PATH
        protection.pop("base_url", None)
        return docker.APIClient(base_url=self._address, timeout=_ANSWER_SECONDS, use_ssh_client=True, **protection)


def _or_none(function: Callable[..., T], *arguments: object, **named: object) -> T | None:
    """What the engine answers, None where it knows of no such thing."""
    try:
        return function(*arguments, **named)
    except NotFound:
        return None


def _get(client: Any, container: str, path: str, limit: int) -> bytes:
    pieces, _ = client.get_archive(container, path)
    archive = bytearray()
    for piece in pieces:
        archive += piece
        if len(archive) > limit:
            raise RuntimeUnavailable("a file of the sandbox is too large")
    return bytes(archive)


def _found(described: Mapping[str, Any]) -> ContainerInfo:
    state = described["State"]
    return ContainerInfo(
        id=described["Id"],
        name=described["Name"].lstrip("/"),
        status=state["Status"],
        labels=described["Config"]["Labels"] or {},
        out_of_memory=state["OOMKilled"],
        exit_code=state["ExitCode"],
    )


def _name_of(row: Mapping[str, Any]) -> str:
    """While it is being removed, a container may have none any more."""
    names: Sequence[str] = row["Names"] or (row["Id"],)
    return names[0].lstrip("/")


def _create(client: Any, name: str | None, body: Mapping[str, Any]) -> str:
    try:
        made: str = client.create_container_from_config(body, name)["Id"]
    except APIError as error:
        there = _or_none(client.inspect_container, name) if name and error.status_code == CONFLICT else None
        if there is None:
            raise
        made = there["Id"]
    return made


def _remove(client: Any, container: str) -> None:
    try:
        client.remove_container(container, force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != CONFLICT:
            raise
        with contextlib.suppress(NotFound):  # somebody else is just at it
            client.wait(container, timeout=_ANSWER_SECONDS, condition="removed")


def _make_network(client: Any, name: str, options: Mapping[str, str], labels: Mapping[str, str]) -> None:
    if any(network["Name"] == name for network in client.networks(names=[name])):
        return
    try:
        client.create_network(name, driver="bridge", options=options, labels=labels, check_duplicate=True)
    except APIError as error:
        if error.status_code != CONFLICT:  # another server of this instance was quicker
            raise
