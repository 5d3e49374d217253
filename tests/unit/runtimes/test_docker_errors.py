"""What an engine says no to, as users are told."""

import pytest
import requests
from docker.errors import APIError, DockerException, ImageNotFound
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from openhands_sessions.adapters.runtimes.docker.errors import ImageMissing, early_exit_message, user_error
from openhands_sessions.executor.program import CANNOT_RUN


def api_error(said: str) -> APIError:
    return APIError("500 Server Error", explanation=said)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("write /var/lib/docker/x: no space left on device", "disk is full"),
        ('invalid mount config for type "bind": bind source path does not exist: /a/b', "refused to mount"),
        ('exec: "python3": executable file not found in $PATH: unknown', "has no python3"),
        ("Unknown runtime specified runsc", "docker.runtime"),
        ("could not find an available, non-overlapping IPv4 address pool", "docker network prune"),
        ("Bind for 0.0.0.0:80 failed: port is already allocated", "in use"),
        ("container is marked for removal and cannot be started", "ended from outside"),
        ("No such container: 0123", "ended from outside"),
        ("network openhands-sessions-0123-egress not found", "network of the sandboxes was removed"),
        ("something new happened", "something new happened"),
    ],
)
def test_a_refusal_says_what_to_do(said: str, told: str) -> None:
    assert told in user_error(api_error(said)).message


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PermissionError(13, "Permission denied"), "group docker"),
        (requests.exceptions.ReadTimeout(), "did not answer in time"),
        (ReadTimeoutError(HTTPConnectionPool("localhost"), "/", "Read timed out."), "did not answer in time"),
        (requests.exceptions.ConnectionError(), "start it"),
        (ProtocolError("Connection broken"), "start it"),
        (DockerException("no"), "start it"),
        (ImageNotFound("404"), "make images"),
    ],
)
def test_an_engine_that_cannot_be_used_is_told_by_its_cause(error: Exception, told: str) -> None:
    assert told in user_error(error).message


def test_no_path_of_the_host_is_told() -> None:
    assert "/srv/secret" not in user_error(api_error("cannot read /srv/secret/place")).message


def test_a_missing_image_is_known_by_its_class() -> None:
    assert isinstance(user_error(ImageNotFound("404")), ImageMissing)


def test_what_is_not_the_engines_is_not_explained_away() -> None:
    with pytest.raises(ZeroDivisionError):
        user_error(ZeroDivisionError())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"{CANNOT_RUN}No space left on device", "is full"),
        ("OSError: [Errno 28] No space left on device", "is full"),
        (f"{CANNOT_RUN}Read-only file system", "Read-only file system. Check the disk"),
        ("SyntaxError: invalid syntax", "needs Python 3.8 or newer, and bash. SyntaxError"),
        ("", "needs Python 3.8 or newer, and bash"),
    ],
)
def test_a_sandbox_that_ended_as_it_began_is_told_by_what_it_said_last(said: str, told: str) -> None:
    assert told in early_exit_message(said)
