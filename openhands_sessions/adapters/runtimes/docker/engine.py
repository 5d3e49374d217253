"""The Docker engine's API: the blocking library, called in threads of its own."""

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
    """A container as the engine describes it. `status` is the engine's: created, running, paused, exited, …; `created`
    in seconds of the epoch, 0 where it is not known."""

    id: str
    name: str
    status: str
    labels: Mapping[str, str]
    out_of_memory: bool = False
    exit_code: int = 0
    created: float = 0.0


class DockerEngine:
    """One engine. Every method may raise RuntimeUnavailable, with advice for users. A call that is cancelled goes on in
    its thread, and is not waited for unless it creates a container."""

    def __init__(self, address: str | None = None) -> None:
        self._address = address or os.environ.get("DOCKER_HOST") or USUAL_ADDRESS
        parts = urlsplit(self._address)
        self.host = None if parts.scheme == "unix" else parts.hostname or ""
        """The host of its address; None for a unix socket."""
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="docker")
        self._client_lock = threading.Lock()
        self._client: Any = None
        self._pulls = ImagePulls(self._own_client)

    @property
    def local(self) -> bool:
        """Whether it runs on this machine, and so sees its folders."""
        return self.host is None

    async def ping(self) -> None:
        await self._run(lambda client: client.ping())

    async def version(self) -> str:
        answer = await self._run(lambda client: client.version())
        return str(answer["Version"])

    async def runtimes(self) -> Sequence[str]:
        """The names of its container runtimes."""
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
            ContainerInfo(row["Id"], _name_of(row), row["State"], row["Labels"] or {}, created=row["Created"])
            for row in rows
        ]

    async def create(self, name: str | None, spec: Mapping[str, Any], labels: Mapping[str, str]) -> str:
        """Create a container and return its id; the id of the existing one where the name is taken. Without a name the
        engine chooses one. Cancelled, it ends when the engine has answered, so that the
        container can be removed then."""
        creating = asyncio.ensure_future(
            self._run(lambda client: _create(client, name, {**spec, "Labels": dict(labels)}))
        )
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError:
            await asyncio.wait([creating])
            with contextlib.suppress(RuntimeUnavailable):
                creating.result()
            raise

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
        """The port of the engine's machine at which a container's port is published; None where it does not run."""
        described = await self._run(lambda client: _or_none(client.inspect_container, container))
        published = described["NetworkSettings"]["Ports"].get(f"{inside}/tcp") if described is not None else None
        return int(published[0]["HostPort"]) if published else None

    async def volumes(self, label: str) -> Sequence[str]:
        """The names of the volumes that carry `name=value`."""
        answer = await self._run(lambda client: client.volumes(filters={"label": label}))
        return [volume["Name"] for volume in answer["Volumes"] or ()]

    async def has_volume(self, name: str) -> bool:
        return await self._run(lambda client: _or_none(client.inspect_volume, name)) is not None

    async def remove_volume(self, name: str) -> None:
        await self._run(lambda client: _or_none(client.remove_volume, name, force=True))

    async def rename(self, container: str, name: str) -> None:
        await self._run(lambda client: client.rename(container, name))

    async def pause(self, container: str) -> None:
        await self._run(lambda client: client.pause(container))

    async def unpause(self, container: str) -> None:
        await self._run(lambda client: client.unpause(container))

    async def remove(self, container: str) -> None:
        """Kill and remove a container with its anonymous volumes; nothing where there is none."""
        await self._run(lambda client: _remove(client, container))

    async def log_tail(self, container: str) -> str:
        """The last lines that it printed."""
        tail: bytes = await self._run(lambda client: client.logs(container, tail=20))
        return tail.decode("utf-8", "replace").strip()

    async def wait(self, container: str, *, seconds: float = _ANSWER_SECONDS) -> int:
        """Wait for its end and return the exit code."""
        answer = await self._run(lambda client: client.wait(container, timeout=seconds))
        return int(answer["StatusCode"])

    async def labels_of(self, image: str) -> Mapping[str, str]:
        """An image's labels; empty where there is no such image."""
        described = await self._run(lambda client: _or_none(client.inspect_image, image))
        labels: Mapping[str, str] | None = described["Config"]["Labels"] if described is not None else None
        return labels or {}

    async def pull(self, image: str, on_progress: OnProgress) -> None:
        """Fetch an image; `on_progress` is called on the event loop with percents of the bytes announced so far."""
        await self._pulls.fetch(image, on_progress)

    async def create_network(self, name: str, options: Mapping[str, str], labels: Mapping[str, str]) -> None:
        """Create a bridge network; nothing where there is one of this name."""
        await self._run(lambda client: _create_network(client, name, options, labels))

    async def remove_network(self, name: str) -> None:
        await self._run(lambda client: _or_none(client.remove_network, name))

    def stop_pulling(self) -> None:
        """End the pulls; all other calls have a time limit."""
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
            self._check_socket()
            return function(self._shared_client())
        except (OSError, HTTPError, requests.exceptions.RequestException, DockerException) as error:
            raise user_error(error) from error

    def _check_socket(self) -> None:
        """Connect once before the library does: it leaks its socket when it cannot connect, and hides the reason."""
        if self.host is not None:
            return
        path = self._address.partition("://")[2]
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            raise RuntimeUnavailable(NO_ENGINE) from None

    def _shared_client(self) -> Any:
        with self._client_lock:
            if self._client is None:
                self._client = self._new_client()
            return self._client

    def _own_client(self) -> Any:
        """A client for one pull."""
        self._check_socket()
        return self._new_client()

    def _new_client(self) -> Any:
        tls = {} if self.host is None else kwargs_from_env()  # DOCKER_TLS_VERIFY, DOCKER_CERT_PATH
        tls.pop("base_url", None)
        return docker.APIClient(base_url=self._address, timeout=_ANSWER_SECONDS, use_ssh_client=True, **tls)


def _or_none(function: Callable[..., T], *arguments: object, **named: object) -> T | None:
    """The engine's answer, None where it has no such object."""
    try:
        return function(*arguments, **named)
    except NotFound:
        return None


def _get(client: Any, container: str, path: str, limit: int) -> bytes:
    chunks, _ = client.get_archive(container, path)
    archive = bytearray()
    for chunk in chunks:
        archive += chunk
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
    """A container that is being removed may have none."""
    names: Sequence[str] = row["Names"] or (row["Id"],)
    return names[0].lstrip("/")


def _create(client: Any, name: str | None, body: Mapping[str, Any]) -> str:
    try:
        return str(client.create_container_from_config(body, name)["Id"])
    except APIError as error:
        there = _or_none(client.inspect_container, name) if name and error.status_code == CONFLICT else None
        if there is None:
            raise
        return str(there["Id"])


def _remove(client: Any, container: str) -> None:
    try:
        client.remove_container(container, force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != CONFLICT:
            raise
        with contextlib.suppress(NotFound):  # another process is removing it
            client.wait(container, timeout=_ANSWER_SECONDS, condition="removed")


def _create_network(client: Any, name: str, options: Mapping[str, str], labels: Mapping[str, str]) -> None:
    if any(network["Name"] == name for network in client.networks(names=[name])):
        return
    try:
        client.create_network(name, driver="bridge", options=options, labels=labels, check_duplicate=True)
    except APIError as error:
        if error.status_code != CONFLICT:  # another server of this instance has just created it
            raise
