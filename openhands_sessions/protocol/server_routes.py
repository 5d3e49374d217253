"""The rows of the table of routes that are about the server, and about logging in to it."""

from functools import partial

from openhands_sessions.protocol.errors import ErrorOut
from openhands_sessions.protocol.login import LOGIN_FORM, LoginLinkOut
from openhands_sessions.protocol.operators import ModelHealthOut
from openhands_sessions.protocol.payloads import Schema
from openhands_sessions.protocol.route import OBJECT, TEXT, Parameter, Route

HTML: Schema = {"type": "string", "contentMediaType": "text/html"}
_login = partial(Route, reply=HTML, tag="login", status=303, media="text/html", access="anyone")
LOGIN_PAGE = _login(
    "GET /api/login",
    "Log a browser in by a one-time token, or show a form that asks for the key; `/` does the same.",
    query=(Parameter("token"),),
    errors={200: HTML, 401: HTML},
)
LOG_IN = _login(
    "POST /api/login",
    "Log a browser in by the key: set its cookie, and redirect it to a page.",
    body=LOGIN_FORM,
    body_media="application/x-www-form-urlencoded",
    errors={401: HTML},
)
LOG_OUT = _login("POST /api/logout", "Remove the browser's cookie.")
LOGIN_LINK = Route("POST /api/login-link", "A one-time token that logs a browser in.", LoginLinkOut, tag="login")

_server = partial(Route, tag="server")
_probe = partial(_server, access="anyone")
ALIVE = _probe("GET /alive", "Is the process alive?")
HEALTH = _probe("GET /health", "The same, answered with one word.", str)
LIVE = _probe("GET /health/live", "Is the process alive?")
READY = _probe("GET /health/ready", "Does the server accept work?", OBJECT, errors={503: ErrorOut})
HEALTH_LLM = _server(
    "GET /health/llm",
    "Does the configured model answer? It is asked once a minute at most. For operators.",
    ModelHealthOut,
    errors={503: ModelHealthOut},
    access="operator",
)
SERVER_INFO = _server("GET /server_info", "The version, and the resources that the server uses.")
METRICS = _server(
    "GET /metrics",
    "What is measured, for Prometheus. For operators, the key in `metrics.key`, and the addresses in `metrics.allow`.",
    TEXT,
    media="text/plain",
    access="operator",
)
OPENAPI = _server("GET /api/openapi.json", "The OpenAPI document of these routes.")
SOCKET_SCHEMA = _server("GET /api/socket.schema.json", "A JSON schema of all messages of the socket.")
ASYNCAPI = _server("GET /api/asyncapi.json", "The AsyncAPI document of the socket.")
DOCS = _server("GET /api/docs", "The OpenAPI document as a page.", media="text/html")

SERVER_ROUTES = tuple(row for row in list(globals().values()) if isinstance(row, Route))
"""Every row above, in its order."""
