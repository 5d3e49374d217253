"""The entry point: as a module, as a folder, or as a zipapp. In the last two, the files form a package of their own."""

from __future__ import annotations

import gc
import importlib
import sys
import types
from importlib.machinery import PathFinder
from pathlib import Path

UNUSED = ["gettext", "ssl"]
"""Modules that getopt, asyncio and hashlib load if they are there, and do without otherwise. With the last two, each
executor holds a copy of OpenSSL's tables."""
if any(name in sys.builtin_module_names or PathFinder.find_spec(name) for name in ("_sha256", "_sha2")):
    # Some Pythons have SHA-256 from OpenSSL alone.
    UNUSED.append("_hashlib")


def _load() -> types.ModuleType:
    """The program, loaded fast: garbage collections would find nothing, and never will in what modules hold."""
    for name in UNUSED:
        sys.modules[name] = None  # type: ignore[assignment]  # "cannot be imported"
    gc.disable()
    program = importlib.import_module(_package() + ".program")
    gc.freeze()
    gc.enable()
    return program


def _package() -> str:
    if __package__:
        return __package__
    alone = types.ModuleType("executor")
    alone.__path__ = [str(Path(__file__).absolute().parent)]
    sys.modules[alone.__name__] = alone
    return alone.__name__


if __name__ == "__main__":
    sys.exit(_load().main(sys.argv[1:]))
