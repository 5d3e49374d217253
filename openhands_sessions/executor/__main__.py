"""The entry point: as a module, as a folder, or as a zipapp. In the last two, the files form a package of their own."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path


def _package() -> str:
    if __package__:
        return __package__
    alone = types.ModuleType("executor")
    alone.__path__ = [str(Path(__file__).absolute().parent)]
    sys.modules[alone.__name__] = alone
    return alone.__name__


if __name__ == "__main__":
    sys.exit(importlib.import_module(_package() + ".program").main(sys.argv[1:]))
