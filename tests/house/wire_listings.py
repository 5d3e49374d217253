"""What goes over the wire, listed from the code for the docs: routes, events, errors, a user's settings."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby

from pydantic import BaseModel

from openhands_sessions.core.errors import SessionsError
from openhands_sessions.core.events.actions import ACTIONS
from openhands_sessions.core.events.codec import own_fields
from openhands_sessions.core.events.event import Action, Observation
from openhands_sessions.core.events.observations import OBSERVATIONS
from openhands_sessions.core.events.own import OWN_ACTIONS, OWN_OBSERVATIONS
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.core.user_settings import KEPT, KEYS, UserSettings
from openhands_sessions.protocol.errors import http_status
from openhands_sessions.protocol.route import Route
from openhands_sessions.protocol.routes import ROUTES


def routes() -> str:
    """A table for each topic."""
    parts = []
    for tag, group in groupby(ROUTES, lambda route: route.tag):
        rows = [
            f"| `{each.method}` | `{each.path}` | {each.summary} | {_takes(each)} | {_statuses(each)} |"
            for each in group
        ]
        summary = ["", "| method | path | what it does | parameters | status |", "|---|---|---|---|---|", *rows, ""]
        parts += [f"## {tag.capitalize()}", *summary]
    return "\n".join(parts).rstrip()


def events() -> str:
    """A table of actions and one of observations."""
    actions = [*_rows(ACTIONS, OWN_ACTIONS)]
    observations = [*_rows(OBSERVATIONS, OWN_OBSERVATIONS)]
    return "\n".join(
        [
            "## Actions",
            "",
            "| `action` | what it is | `args` |",
            "|---|---|---|",
            *actions,
            "",
            "## Observations",
            "",
            "| `observation` | what it is | `extras` |",
            "|---|---|---|",
            *observations,
        ]
    )


def errors() -> str:
    """Every code, its class, and the status that REST answers with."""
    rows = [
        f"| `{kind.code}` | `{kind.__name__}` | {http_status(kind)} | {_first_line(kind.__doc__)} |"
        for kind in _tree(SessionsError)
    ]
    return "\n".join(["| `code` | class | HTTP | what it says |", "|---|---|---|---|", *rows])


def user_settings() -> str:
    """What `/api/settings` keeps."""
    rows = [
        f"| `{name}` | {_default(field.default)} | {'yes' if name in KEPT else ''} | {_effect(name)} |"
        for name, field in UserSettings.model_fields.items()
    ]
    return "\n".join(["| setting | default | keeps its value if left out | effect |", "|---|---|---|---|", *rows])


def _takes(route: Route) -> str:
    body = route.body
    told = [f"query: {_listed(parameter.name for parameter in route.query)}"] if route.query else []
    if isinstance(body, type) and issubclass(body, BaseModel):
        told.append(f"body: {_listed(body.model_fields)}")
    elif isinstance(body, Mapping):
        told.append(f"form: {_listed(body['properties'])}")
    elif body is not None:
        told.append("body: a command")
    return "; ".join(told)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _statuses(route: Route) -> str:
    return ", ".join(map(str, route.replies))


def _rows(kinds: dict[str, type[Action]] | dict[str, type[Observation]], own: Collection[str]) -> Iterator[str]:
    for name, kind in kinds.items():
        fields = ", ".join(f"`{key}`" for _, key in own_fields(kind)) or "none"
        mark = " Our own: V0 clients do not get it." if name in own else ""
        yield f"| `{name}` | {_first_line(kind.__doc__)}{mark} | {fields} |"


def _tree(kind: type[SessionsError]) -> Iterator[type[SessionsError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == SessionsError.__module__:
            yield from _tree(below)


def _first_line(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split()).replace("|", "\\|")


def _default(value: object) -> str:
    return "not set" if value is None else f"`{str(value).lower()}`"


def _effect(name: str) -> str:
    if name in KEYS and name != "llm_api_key":
        return "Stored, never shown."
    if name == "llm_api_key":
        return "The model's key; never shown."
    if name == "enable_default_condenser":
        return "`false`: nothing is condensed."
    field = SessionSettings.model_fields.get(name)
    return "Stored for the client, without effect." if field is None else field.description or ""
