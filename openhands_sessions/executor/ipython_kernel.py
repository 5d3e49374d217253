"""Runs in a Python that has IPython: reads requests to run a cell from one pipe, and answers on another. It is passed
to that Python as text, and imports nothing of this package."""

import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

MISSING = 127


def main(requests: int, answers: int) -> int:
    """Answer requests `{"file", "environment"}` with `{"ok"}`, after the output, until the pipe is closed."""
    for descriptor in (requests, answers):
        os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        shell = _shell()
    except ImportError as error:
        sys.stdout.write(f"IPython cannot be used in this sandbox: {error}\n")
        return MISSING
    with os.fdopen(requests, encoding="utf-8") as lines, os.fdopen(answers, "w", encoding="utf-8") as output:
        for line in lines:
            output.write(json.dumps({"ok": _run(shell, json.loads(line))}) + "\n")
            output.flush()
    return 0


def _shell() -> Any:
    module = importlib.import_module("IPython.core.interactiveshell")
    config = importlib.import_module("traitlets.config").Config()
    config.HistoryManager.enabled = False
    shell = module.InteractiveShell.instance(config=config)
    for name in ("nocolor", "NoColor"):  # the name in newer, and in older versions
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
