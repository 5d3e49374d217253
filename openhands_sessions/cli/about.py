"""`version`."""

import json
import platform

from openhands_sessions import __version__


def run(*, as_json: bool) -> int:
    """Print which version this is, and of what Python."""
    if as_json:
        print(json.dumps({"version": __version__, "python": platform.python_version()}))
    else:
        print(f"openhands-sessions {__version__} (Python {platform.python_version()})")
    return 0
