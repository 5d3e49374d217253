"""The locks: all that is installed has one version and a hash, and they name no place to fetch it from."""

import re
import tomllib

import pytest

from tests.house.sources import ROOT

LOCKS = ["requirements.lock", "requirements-test.lock"]
PIN = re.compile(r"^([a-z0-9.-]+)==(\S+)(?: ; [^\\]+)? \\$")


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_versions_and_hashes_and_nothing_else(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()
    odd = [
        line for line in lines if not PIN.match(line) and not re.match(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$", line)
    ]
    assert not odd, "Write the locks with `make lock`."


@pytest.mark.parametrize(
    ("lock", "extras"), [(LOCKS[0], ["fast", "mcp", "otel"]), (LOCKS[1], ["fast", "mcp", "otel", "docs", "test"])]
)
def test_a_lock_holds_all_that_the_project_needs(lock: str, extras: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + [each for extra in extras for each in project["optional-dependencies"][extra]]
    names = {re.split(r"[^A-Za-z0-9._-]", each, maxsplit=1)[0].lower() for each in asked}
    assert names <= pinned(lock).keys(), "A dependency is not locked: run `make lock`."


def test_tests_run_with_the_versions_that_users_get() -> None:
    users, tests = (pinned(lock) for lock in LOCKS)
    assert users.items() <= tests.items(), "The locks disagree: run `make lock`."


def pinned(lock: str) -> dict[str, str]:
    """The version of each package. A marker may differ: the tests need a package also where users do not."""
    lines = (ROOT / lock).read_text().splitlines()
    return {match[1]: match[2] for line in lines if (match := PIN.match(line))}
