"""The Docker engine's errors as errors for users, with advice."""

from collections.abc import Sequence

import requests
from docker.errors import APIError, DockerException, ImageNotFound
from urllib3.exceptions import HTTPError, ReadTimeoutError

from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.masking import without_paths

NO_ENGINE = (
    "no Docker engine answers: start it (systemctl start docker), or say where it is with docker.address or DOCKER_HOST"
)
NOT_ALLOWED = "the Docker engine's socket is closed to the server's user: add it to the group docker"
NO_IMAGE = "the Docker engine does not have the image: build ours with `make images`, or name another with docker.image"
STALLED = (
    "it made no progress for a while: check whether the engine reaches the registry, or fetch the image with"
    " `docker pull`, then try again"
)
NO_RUNTIME = "the Docker engine does not know this runtime: register it in its daemon.json, or unset docker.runtime"

_FULL = ("no space left on device", "disk quota exceeded")
_KNOWN: Sequence[tuple[Sequence[str], str]] = (
    (_FULL, "the Docker engine's disk is full: free some, `docker system df` shows what is used"),
    (
        (
            "bind source path does not exist",
            "invalid mount",
            "mounts denied",
            "is not shared from the host",
            "error mounting",
        ),
        "the Docker engine refused to mount the workspace: it must see the server's data folder under the same path",
    ),
    (
        ('"python3": executable file not found', "exec: python3: not found", "python3: no such file"),
        "the image has no python3: the executor needs Python 3.8 or newer, and bash",
    ),
    (("unknown runtime", "unknown or invalid runtime", "invalid runtime name"), NO_RUNTIME),
    (
        ("address pool", "predefined address pools"),
        "the Docker engine has no free network addresses: `docker network prune`",
    ),
    (("port is already allocated", "address already in use"), "a port or address that the sandbox needs is in use"),
    (("cannot allocate memory", "minimum memory limit"), "there is too little memory for one more sandbox"),
)
_CANNOT_RUN = "the executor cannot run: "
_ENDS = ("no such container", "marked for removal", "container is dead")
_LONGEST = 300


class ContainerGone(RuntimeUnavailable):
    """The container is gone, or cannot be started any more."""


class NetworkGone(RuntimeUnavailable):
    """The sandboxes' network was removed, or its firewall rules were."""

    def __init__(self) -> None:
        super().__init__("the network of the sandboxes was removed or changed from outside: try again")


class ImageMissing(RuntimeUnavailable):
    """The engine does not have the image."""

    def __init__(self, why: str = "") -> None:
        super().__init__(NO_IMAGE + (f" ({why})" if why else ""))


def user_error(error: Exception) -> RuntimeUnavailable:
    """The error for users. An unknown one carries the engine's own text, without paths."""
    match error:
        case PermissionError():
            return RuntimeUnavailable(NOT_ALLOWED)
        case _ if timed_out(error):
            return RuntimeUnavailable("the Docker engine did not answer in time: is it, or its disk, overloaded?")
        case ImageNotFound():
            return ImageMissing()
        case APIError():
            return _refusal(str(error.explanation or error))
        case requests.exceptions.RequestException() | DockerException() | HTTPError() | OSError():
            return RuntimeUnavailable(NO_ENGINE)
    raise error


def early_exit_message(text: str) -> str:
    """Why a sandbox ended at its start, by the last line that it printed."""
    if any(sign in text.lower() for sign in _FULL):
        return "the sandbox ended while it started: the disk with the workspaces is full; make room, then try again"
    shown = without_paths(text[:_LONGEST])
    if text.startswith(_CANNOT_RUN):
        return f"the sandbox ended while it started: {shown}. Check the disk with the workspaces, and its folders"
    return f"the sandbox ended while it started: the image needs Python 3.8 or newer, and bash. {shown}"


def timed_out(error: Exception) -> bool:
    """Whether the engine did not answer in time; ReadTimeoutError is raised while an answer is streamed."""
    return isinstance(error, (requests.exceptions.ReadTimeout, TimeoutError, ReadTimeoutError))


def _refusal(text: str) -> RuntimeUnavailable:
    """The error for what the engine says."""
    lower = text.lower()
    if any(sign in lower for sign in _ENDS):
        return ContainerGone("the sandbox was ended from outside, by another program")
    if "network" in lower and "not found" in lower:
        return NetworkGone()
    for signs, advice in _KNOWN:
        if any(sign in lower for sign in signs):
            return RuntimeUnavailable(advice)
    return RuntimeUnavailable(f"the Docker engine refused: {without_paths(text)[:_LONGEST]}")
