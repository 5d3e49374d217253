"""Ports for the servers of tests."""

import itertools
import os
import random
import socket

LOWEST, HIGHEST = 10_000, 30_000
"""Below those that systems give to clients: a connection of another test must not take one."""
_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_STEP = 16
"""Processes that run tests take every 16th port, each from its own on."""
_COUNT = (HIGHEST - LOWEST) // _STEP
_PLACES = itertools.count(random.SystemRandom().randrange(_COUNT))


def free_port() -> int:
    """A port of loopback that nobody has now, and that no other process of this run is given."""
    for _ in range(_COUNT):
        port = LOWEST + next(_PLACES) % _COUNT * _STEP + _PROCESS % _STEP
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise RuntimeError("no port of loopback is free")
