"""Logging a browser in."""

from openhands_sessions.protocol.payloads import Reply, Schema

LOGIN_FORM: Schema = {
    "type": "object",
    "properties": {
        "session_api_key": {"type": "string"},
        "next": {"type": "string", "description": "The path that the browser is sent to."},
    },
    "required": ["session_api_key"],
}


class LoginLinkOut(Reply):
    """`/?token=…` logs a browser in: once, within `seconds`. Null where callers need no key."""

    token: str | None
    seconds: int
