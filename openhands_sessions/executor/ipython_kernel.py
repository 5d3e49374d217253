"""Runs in a Python that has IPython: one cell after another, ordered over one pipe and answered over another. It is
handed over as text, and imports nothing of ours."""

import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

MISSING = 127


def main(orders: int, answers: int) -> int:
    """Take orders until there are no more: `{"file", "environment"}`, answered by `{"ok"}` behind the output."""
    for descriptor in (orders, answers):
        os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        shell = _shell()
    except ImportError as error:
        sys.stdout.write(f"IPython cannot be used in this sandbox: {error}\n")
        return MISSING
    with os.fdopen(orders, encoding="utf-8") as lines, os.fdopen(answers, "w", encoding="utf-8") as told:
        for line in lines:
            told.write(json.dumps({"ok": _run(shell, json.loads(line))}) + "\n")
            told.flush()
    return 0


def _shell() -> Any:
    module = importlib.import_module("IPython.core.interactiveshell")
    config = importlib.import_module("traitlets.config").Config()
    config.HistoryManager.enabled = False
    shell = module.InteractiveShell.instance(config=config)
    for name in ("nocolor", "NoColor"):  # as newer and older versions call it
        try:
            shell.colors = name
        except Exception:
            continue
        break
    return shell


def _run(shell: Any, request: Any) -> bool:
    os.environ.update(request["environment"])
    code = Path(request["file"]).read_text(encoding="utf-8")
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            done = bool(shell.run_cell(code, store_history=True).success)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        done = False
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return done


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
