"""For all tests: no real model is asked, no host but this one is reached."""

import ctypes
import gc
import os
import random
import resource
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import strategies

from tests.support import ports
from tests.support.docker_engine import Engine, NoEngine, opened
from tests.support.docker_leftovers import leftovers
from tests.support.processes import called
from tests.support.system_packages import unavailable

NOWHERE = "http://127.0.0.1:9"
_HERE = {"::1", "localhost", "0.0.0.0", "::", ""}
_OURS = ("127.", "198.18.")
"""Loopback, and the links to engines of the tests' own."""
MEGABYTES = 768
"""What a process that runs tests may take."""
_SAMPLE = 2
"""Runs of each long test that CHAOS=ci takes."""


def pytest_configure() -> None:
    """Before anything is imported that reads these. The programs that tests start inherit them."""
    os.environ.update(
        {name: "" for name in os.environ if name.endswith(("_API_KEY", "_API_TOKEN"))}
        | dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE)
        | dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost,::1,198.18.0.0/15")
        | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    )
    for name in [name for name in os.environ if name.startswith("OHS_")]:
        del os.environ[name]
    # Each of the many servers that tests start would compile the package anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    sys.addaudithook(_stay_here)


def _stay_here(event: str, values: tuple[object, ...]) -> None:
    if event not in ("socket.connect", "socket.sendto"):
        return
    address = values[1]
    host = address[0] if isinstance(address, tuple) else ""
    if host not in _HERE and not str(host).startswith(_OURS):
        raise RuntimeError("a test tried to reach another host; start what it needs on loopback")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """CHAOS=ci: of each long test that has many parameters, a few."""
    if os.environ.get("CHAOS") != "ci":
        return
    runs = defaultdict(list)
    for item in items:
        if item.get_closest_marker("long"):
            runs[item.nodeid.partition("[")[0]].append(item)
    chosen = random.Random(0)
    left_out = {
        item for each in runs.values() if len(each) > _SAMPLE for item in set(each) - set(chosen.sample(each, _SAMPLE))
    }
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session", autouse=True)
def memory_is_bounded() -> Iterator[None]:
    """A process that runs tests stays small, so that several can run on a small machine. Processes that tests start do
    not count."""
    # Hypothesis takes 200 MB for a moment to make its table of characters, unless it has kept it: better at the start.
    strategies.text().validate()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    assert peak < MEGABYTES, "measure the peak after each file, and let go of what is not needed any more"


@pytest.fixture(scope="module", autouse=True)
def memory_is_given_back() -> Iterator[None]:
    """What one file needed for a moment would add up with the others: Python collects seldom where much lives, and the
    C library keeps most of what is freed. What lives on is frozen, so that the next collection is fast."""
    yield
    gc.collect()
    gc.freeze()
    ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope="session", autouse=True)
def no_executor_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Executors outlive whoever started them; those of the tests' own folders must not outlive the tests."""
    yield
    assert called("executor", "--workspace", str(tmp_path_factory.getbasetemp())) == []


@pytest.fixture
def free_port() -> int:
    """A loopback port that nobody listened on just now."""
    return ports.free_port()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Where a server under test keeps its data."""
    return tmp_path / "data"


@pytest.fixture(scope="session")
def docker_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A real Docker engine. Where there can be none, the test is skipped; in CI it fails. What the tests leave in it
    fails the run."""
    with ExitStack() as stack:
        try:
            engine = stack.enter_context(opened())
        except NoEngine as problem:
            unavailable(problem)
        yield engine
        assert leftovers(engine, tmp_path_factory.getbasetemp()) == []
