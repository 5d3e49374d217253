"""Who may do what over REST: a table by hand, with a row for every route. What is sent over the socket has its own, in
test_socket_access.py."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from openhands_sessions.protocol import routes, server_routes, state_routes
from openhands_sessions.protocol.route import Route
from openhands_sessions.protocol.routes import ROUTES
from tests.support.server_clients import Clients
from tests.support.token_callers import MESSAGE, UNKNOWN_ID, TokenCallers, token_callers

WRONG_QUERY = {
    "limit": "x",
    "after": "x",
    "start_id": "x",
    "event_id": "x",
    "after_revision": "x",
    "filter": "{",
    "before": "x",
    "days": "0",
    "file": "",
    "path": "../..",
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How a route is asked so that its owner gets a good answer; `json` may be made anew each time. `path` fills in
    what is no conversation."""

    query: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    path: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)


NO_MORE = Asked()
CHANGE = {"operations": [{"op": "incr", "key": "n", "value": 1}]}
NUMBERS = count()
# The statuses that a route of one conversation answers: to who shows nothing; to a user with an id of its own, of
# somebody else's and an unknown one; to an operator and to an admin with an id of somebody else's; and to those with
# whom it is shared: a viewer, a writer, and who has a link to view it.
ONE: Mapping[Route, tuple[int, int, int, int, int, int, int, int, int]] = {
    #                              unauth. own foreign unknown operator admin viewer writer link
    routes.DESCRIBE_CONVERSATION: (401, 200, 200, 200, 200, 200, 200, 200, 200),
    routes.RENAME_CONVERSATION: (401, 200, 404, 404, 404, 404, 403, 403, 403),
    routes.START_CONVERSATION: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    routes.FORK_CONVERSATION: (401, 201, 404, 404, 404, 404, 201, 201, 403),
    routes.RUNTIME_CONFIG: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    routes.VSCODE_URL: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    routes.WEB_HOSTS: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    routes.LIST_MICROAGENTS: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    routes.REMEMBER_PROMPT: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    routes.EXPERIMENT_CONFIG: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    routes.SUBMIT_FEEDBACK: (401, 200, 404, 404, 404, 404, 403, 200, 403),
    routes.SET_MODEL: (401, 422, 404, 404, 404, 404, 403, 403, 403),  # of the shell agent, which has no model
    routes.SET_BUDGET: (401, 200, 404, 404, 404, 404, 403, 403, 403),
    routes.SEND_COMMAND: (401, 200, 404, 404, 404, 404, 403, 200, 403),
    routes.SAY: (401, 200, 404, 404, 404, 404, 403, 200, 403),
    routes.SEND_MESSAGE: (401, 200, 404, 404, 404, 404, 403, 200, 403),
    routes.READ_HISTORY: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    routes.DIFF_HISTORY: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    routes.CHANGE_HISTORY: (401, 200, 404, 404, 404, 404, 403, 200, 403),
    routes.READ_EVENTS: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    routes.STREAM_EVENTS: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    routes.EXPORT: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    routes.LIST_FILES: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    routes.READ_FILE: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    routes.UPLOAD_FILES: (401, 200, 404, 404, 404, 404, 403, 200, 403),
    routes.ZIP_DIRECTORY: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    routes.GIT_CHANGES: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    routes.GIT_DIFF: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    state_routes.READ_STATE: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    state_routes.CHANGE_STATE: (401, 200, 404, 404, 404, 404, 403, 200, 403),
    state_routes.READ_STATE_CHANGES: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    routes.MARK_READ: (401, 200, 404, 404, 404, 404, 200, 200, 200),
    routes.LIST_SHARES: (401, 200, 404, 404, 404, 404, 403, 403, 403),
    routes.SHARE: (401, 200, 404, 404, 404, 404, 403, 403, 403),
    routes.UNSHARE: (401, 200, 404, 404, 404, 404, 403, 403, 403),
    routes.MAKE_LINK: (401, 201, 404, 404, 404, 404, 403, 403, 403),
    routes.REVOKE_LINK: (401, 404, 404, 404, 404, 404, 403, 403, 403),  # of no link
    routes.STOP_CONVERSATION: (401, 200, 200, 200, 200, 200, 403, 200, 403),
    routes.DELETE_CONVERSATION: (401, 200, 200, 200, 200, 200, 403, 403, 403),
}
# The statuses that any other route answers, to who shows nothing, a user, an operator, an admin, and who has a link to
# a conversation. The order matters: settings, secrets and tokens are stored on the way. The secret in the paths is the
# user's.
OTHER: Mapping[Route, tuple[int, int, int, int, int]] = {
    #                                      unauth. user operator admin link
    routes.CREATE_CONVERSATION: (401, 200, 200, 200, 403),
    routes.LIST_CONVERSATIONS: (401, 200, 200, 200, 403),
    routes.LIST_MICROAGENT_CONVERSATIONS: (401, 200, 200, 200, 403),
    routes.READ_SETTINGS: (401, 404, 404, 404, 403),
    routes.STORE_SETTINGS: (401, 200, 200, 200, 403),
    routes.RESET_SETTINGS: (401, 410, 410, 410, 403),
    routes.LIST_SECRETS: (401, 200, 200, 200, 403),
    routes.CHANGE_SECRET: (401, 200, 404, 404, 403),
    routes.REPLACE_SECRET: (401, 200, 404, 404, 403),
    routes.DELETE_SECRET: (401, 200, 404, 404, 403),
    routes.ADD_SECRET: (401, 201, 201, 201, 403),
    routes.ADD_PROVIDERS: (401, 200, 200, 200, 403),
    routes.USAGE: (401, 200, 200, 200, 403),
    state_routes.READ_USER_STATE: (401, 200, 200, 200, 403),
    state_routes.CHANGE_USER_STATE: (401, 200, 200, 200, 403),
    state_routes.READ_USER_CHANGES: (401, 200, 200, 200, 403),
    state_routes.READ_APP_STATE: (401, 200, 200, 200, 403),
    state_routes.CHANGE_APP_STATE: (401, 403, 200, 200, 403),
    state_routes.READ_APP_CHANGES: (401, 200, 200, 200, 403),
    routes.USER_INFO: (401, 200, 200, 200, 403),
    routes.USER_REPOSITORIES: (401, 200, 200, 200, 403),
    routes.SEARCH_REPOSITORIES: (401, 200, 200, 200, 403),
    routes.SEARCH_BRANCHES: (401, 200, 200, 200, 403),
    routes.REPOSITORY_BRANCHES: (401, 200, 200, 200, 403),
    routes.INSTALLATIONS: (401, 200, 200, 200, 403),
    routes.SUGGESTED_TASKS: (401, 200, 200, 200, 403),
    routes.REPOSITORY_MICROAGENTS: (401, 200, 200, 200, 403),
    routes.REPOSITORY_MICROAGENT: (401, 404, 404, 404, 403),
    routes.UNSET_PROVIDERS: (401, 200, 200, 200, 403),
    routes.CLIENT_CONFIG: (401, 200, 200, 200, 403),
    routes.LIST_MODELS: (401, 200, 200, 200, 403),
    routes.LIST_AGENTS: (401, 200, 200, 200, 403),
    routes.LIST_ANALYZERS: (401, 200, 200, 200, 403),
    server_routes.LOGIN_PAGE: (401, 303, 303, 303, 303),
    server_routes.LOG_IN: (401, 303, 303, 303, 303),
    server_routes.LOG_OUT: (303, 303, 303, 303, 303),
    server_routes.LOGIN_LINK: (401, 200, 200, 200, 403),
    server_routes.ALIVE: (200, 200, 200, 200, 200),
    server_routes.HEALTH: (200, 200, 200, 200, 200),
    server_routes.LIVE: (200, 200, 200, 200, 200),
    server_routes.READY: (200, 200, 200, 200, 200),
    server_routes.SERVER_INFO: (401, 200, 200, 200, 403),
    server_routes.METRICS: (401, 401, 200, 200, 403),
    server_routes.HEALTH_LLM: (401, 401, 200, 200, 403),
    server_routes.OPENAPI: (401, 200, 200, 200, 403),
    server_routes.SOCKET_SCHEMA: (401, 200, 200, 200, 403),
    server_routes.ASYNCAPI: (401, 200, 200, 200, 403),
    server_routes.DOCS: (401, 200, 200, 200, 403),
}
GOOD: Mapping[Route, Asked] = {
    routes.RENAME_CONVERSATION: Asked(json={"title": "new"}),
    routes.START_CONVERSATION: Asked(json={}),
    routes.REMEMBER_PROMPT: Asked(query={"event_id": "1"}),
    routes.DIFF_HISTORY: Asked(query={"branch": "main"}),
    routes.SUBMIT_FEEDBACK: Asked(json={"polarity": "positive"}),
    routes.SEND_COMMAND: Asked(json=MESSAGE),
    routes.SAY: Asked(json={"message": "$ echo more"}),
    routes.SEND_MESSAGE: Asked(json={"content": "$ echo more"}),
    routes.MARK_READ: Asked(json={"event_id": 0}),
    routes.CHANGE_HISTORY: Asked(json=lambda: {"action": "checkpoint", "args": {"name": f"here {next(NUMBERS)}"}}),
    routes.SET_MODEL: Asked(json={"model": "scripted:demo"}),
    routes.SET_BUDGET: Asked(json={"dollars": 3}),
    state_routes.CHANGE_STATE: Asked(json=CHANGE),
    state_routes.CHANGE_USER_STATE: Asked(json=CHANGE),
    state_routes.CHANGE_APP_STATE: Asked(json=CHANGE),
    routes.SHARE: Asked(json={"user": "carl"}),
    routes.UNSHARE: Asked(query={"user": "carl"}),
    routes.MAKE_LINK: Asked(json={}),
    routes.REVOKE_LINK: Asked(query={"link": "x"}),
    routes.READ_FILE: Asked(query={"file": "file.txt"}),
    routes.UPLOAD_FILES: Asked(form={"files": "content"}),
    routes.GIT_DIFF: Asked(query={"path": "file.txt"}),
    routes.CREATE_CONVERSATION: Asked(json={}),
    routes.STORE_SETTINGS: Asked(json={"llm_model": "scripted:none"}),
    routes.CHANGE_SECRET: Asked(json={"name": "ADAS"}, path={"name": "ADAS"}),
    routes.REPLACE_SECRET: Asked(json={"value": "y"}, path={"name": "ADAS"}),
    routes.DELETE_SECRET: Asked(path={"name": "ADAS"}),
    routes.ADD_SECRET: Asked(json={"name": "MINE", "value": "x"}),
    routes.ADD_PROVIDERS: Asked(json={"provider_tokens": {"github": {"token": "x"}}}),
    routes.REPOSITORY_BRANCHES: Asked(query={"repository": "a/b"}),
    routes.REPOSITORY_MICROAGENTS: Asked(path={"name": "a/b"}),
    routes.REPOSITORY_MICROAGENT: Asked(path={"name": "a/b"}),
}


@dataclass(frozen=True)
class Answer:
    status: int
    content_type: str
    text: str


@pytest.fixture
async def callers(data_dir: Path) -> AsyncIterator[TokenCallers]:
    async with token_callers(data_dir) as made:
        yield made


async def ask(caller: Clients, route: Route, asked: Asked, sid: str = "", *, wrong: str | None = None) -> Answer:
    """`wrong`: the query and this body in place of the good ones."""
    path = route.path.replace("{conversation_id}", sid)
    for name in route.parameters:
        path = path.replace(f"{{{name}}}", asked.path.get(name, "x"))
    query = asked.query if wrong is None else WRONG_QUERY
    given: dict[str, Any] = {"json": asked.json() if callable(asked.json) else asked.json}
    if asked.form:
        form = aiohttp.FormData()
        for name, content in asked.form.items():
            form.add_field(name, content.encode(), filename="new.txt")
        given = {"data": form}
    if wrong is not None:
        given = {"data": wrong, "headers": {"Content-Type": "application/json"}} if route.body is not None else {}
    url = f"{caller.rest.url}{path}?{urlencode(query)}"
    async with caller.rest.http.request(route.method, url, allow_redirects=False, **given) as answer:
        streams = answer.content_type in ("text/event-stream", "application/zip") or route is routes.EXPORT
        text = "" if streams and answer.status == 200 else await answer.text()
        return Answer(answer.status, answer.content_type, text)


def test_every_route_has_a_row() -> None:
    assert {*ONE, *OTHER} == set(ROUTES), "a route has no row: write down who may ask it"
    assert all("{conversation_id}" in route.path for route in ONE)
    assert not any("{conversation_id}" in route.path for route in OTHER)


async def test_each_caller_gets_what_the_table_says_of_a_conversation(callers: TokenCallers) -> None:
    wrong = []
    for route, expected in ONE.items():
        good = GOOD.get(route, NO_MORE)
        asked = list(zip(callers.places, expected, strict=True))
        asked.append(asked.pop(1))  # the owner comes last: it may change or delete the conversation
        for (caller, sid), status in asked:
            answer = await ask(callers.clients[caller], route, good, sid)
            if answer.status != status:
                wrong.append(f"{route.call} for {caller}: {answer}")
    assert wrong == []


async def test_somebody_elses_conversation_is_an_unknown_one_whatever_is_asked(callers: TokenCallers) -> None:
    told_apart = []
    for route in ONE:
        good = GOOD.get(route, NO_MORE)
        for caller in ("stranger", "operator", "admin", "viewer", "link"):
            sid = callers.other if caller in ("viewer", "link") else callers.own
            unknown = await ask(callers.clients[caller], route, good, UNKNOWN_ID)
            for body in (None, "[]", "{", '{"args": 7, "title": 7}'):
                foreign = await ask(callers.clients[caller], route, good, sid, wrong=body)
                same = Answer(foreign.status, foreign.content_type, foreign.text.replace(sid, UNKNOWN_ID))
                if same != unknown:
                    told_apart.append(f"{route.call} for {caller} with {body}: {foreign}, not {unknown}")
    assert told_apart == []
    assert (await callers.clients["user"].rest.describe(callers.own))["title"] != "new"


async def test_what_a_guest_may_not_do_is_refused_before_it_is_looked_at(callers: TokenCallers) -> None:
    for route, (*_, viewer, writer, link) in ONE.items():
        for caller, status in (("viewer", viewer), ("writer", writer), ("link", link)):
            if status == 403:
                for body in ("[]", "{"):
                    answer = await ask(callers.clients[caller], route, NO_MORE, callers.own, wrong=body)
                    assert (answer.status, '"forbidden"' in answer.text) == (403, True), (route.call, caller, answer)


async def test_each_caller_gets_what_the_table_says_of_everything_else(callers: TokenCallers) -> None:
    await callers.clients["user"].rest.ask("POST", "/api/secrets", {"name": "ADAS", "value": "x"})
    wrong = []
    for route, (nothing, user, operator, admin, link) in OTHER.items():
        asked = GOOD.get(route, NO_MORE)
        expected = {"unauthenticated": nothing, "link": link, "admin": admin, "operator": operator, "user": user}
        for caller, status in expected.items():
            if route is server_routes.LOG_IN:
                answer = await _logged_in(callers.clients[caller], callers.tokens[caller] or "")
            else:
                answer = await ask(callers.clients[caller], route, asked)
            if answer.status != status:
                wrong.append(f"{route.call} for {caller}: {answer}")
    assert wrong == []


async def _logged_in(caller: Clients, token: str) -> Answer:
    """The form, for which the caller's header does not count."""
    form = {"session_api_key": token}
    async with caller.rest.http.post(f"{caller.rest.url}/api/login", data=form, allow_redirects=False) as answer:
        return Answer(answer.status, answer.content_type, "")


async def test_lists_and_events_have_what_is_the_callers_or_shared_with_it(callers: TokenCallers) -> None:
    own = callers.own
    for caller, seen in (("stranger", 0), ("operator", 0), ("admin", 0), ("viewer", 1), ("writer", 1), ("user", 2)):
        rest = callers.clients[caller].rest
        status, page = await rest.ask("GET", "/api/conversations", count="true")
        assert (status, len(page["results"]), page["total"]) == (200, seen, seen)
        for query in ({"search": "git"}, {"id_prefix": own[:8]}):
            found = (await rest.ask("GET", "/api/conversations", **query))[1]["results"]
            assert [each["conversation_id"] for each in found] == [own] * min(seen, 1)
        status, _ = await rest.ask("GET", "/api/conversations", page_id=own)
        assert status == (await rest.ask("GET", "/api/conversations", page_id=UNKNOWN_ID))[0]
