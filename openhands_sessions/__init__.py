"""Sessions of AI agents over Socket.IO and in Python programs: the public face."""

from importlib import import_module

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "Allow",
    "ApprovalNeeded",
    "Deny",
    "RevisionConflict",
    "Session",
    "SessionBusy",
    "SessionsError",
    "SharedState",
    "TurnFailed",
    "TurnResult",
    "TurnTimeout",
    "__version__",
    "tool",
]

_PLACES = {
    "Agent": "sdk.agent",
    "Allow": "sdk.approvals",
    "ApprovalNeeded": "sdk.approvals",
    "Deny": "sdk.approvals",
    "RevisionConflict": "core.errors",
    "Session": "sdk.session",
    "SessionBusy": "core.errors",
    "SessionsError": "core.errors",
    "SharedState": "sdk.shared_state",
    "TurnFailed": "core.errors",
    "TurnResult": "sdk.results",
    "TurnTimeout": "core.errors",
    "tool": "sdk.agent",
}
"""Where each name is. It is loaded when it is first asked for: neither the server nor the command line needs it. The
types are in `__init__.pyi`."""


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
