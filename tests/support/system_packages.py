"""Programs that tests need: installed from Debian packages where they are missing and this is allowed."""

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "openhands-sessions-tests"
"""What is kept between runs, and may be deleted whenever none is on."""


class Missing(Exception):
    """Something that a test needs is not there; the message says what, and why it cannot be installed."""


def install(packages: Mapping[str, str]) -> None:
    """See to it that these programs are there, each from the package named beside it. Raises Missing."""
    missing = sorted({package for program, package in packages.items() if shutil.which(program) is None})
    if missing and not may_install():
        raise Missing(f"without root and apt nothing installs what is missing: {', '.join(missing)}")
    if missing:
        try:
            with locked(CACHE / "installing"):
                _apt("install", "--no-install-recommends", *missing)
        except subprocess.CalledProcessError as problem:
            raise Missing(f"apt-get cannot install what is missing: {', '.join(missing)}") from problem


def unavailable(problem: Missing) -> NoReturn:
    """Skip the test that asked for it; in CI, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(str(problem))
    pytest.skip(str(problem))


def may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def plain_environment() -> dict[str, str]:
    """Without the address that leads nowhere, which keeps tests from reaching others."""
    return {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}


def _apt(*words: str) -> None:
    # A service of this machine is not what was asked for.
    environment = plain_environment() | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    command = ["apt-get", "-qq", "-y", *words]
    if subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL).returncode != 0:
        subprocess.run(["apt-get", "-qq", "update"], env=environment, check=True)
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
