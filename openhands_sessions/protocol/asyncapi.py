"""The socket's documents, made from the table of its events and the models: AsyncAPI 3.0, and a JSON schema."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from openhands_sessions.core.events.schema import PLACE as DEFINITIONS
from openhands_sessions.protocol.errors import Acknowledgement, Refusal
from openhands_sessions.protocol.openapi import PLACE, Components
from openhands_sessions.protocol.payloads import Schema
from openhands_sessions.protocol.socket_messages import SOCKET_EVENTS, AuthIn, SocketEvent

CHANNELS = {
    "/": (
        "conversation",
        "One conversation: its events, its news, and commands to it; or the list of the caller's conversations. "
        "Socket.IO's namespace `/`.",
    ),
    "/operator": ("operators", "All live sessions, for operators. Socket.IO's namespace `/operator`."),
}
ABOUT = (
    "Socket.IO 5 over Engine.IO 4. A message's `name` is the name of the Socket.IO event, its payload the event's one "
    "argument; a reply is the event's acknowledgement. `auth` is the payload of the packet that connects to a "
    "namespace, `refusal` that of the connect error. Events that V0 clients are not sent, and the order of all, are "
    "described in docs/reference/protocol.md. A key is needed only where the server has one."
)
SECURITY_SCHEMES = {
    "header": {"type": "httpApiKey", "in": "header", "name": "X-Session-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "query": {"type": "httpApiKey", "in": "query", "name": "session_api_key"},
    "cookie": {"type": "httpApiKey", "in": "cookie", "name": "session_api_key"},
}
PATHNAME = "/socket.io"
SERVER = {
    "host": "{host}",
    "protocol": "ws",
    "variables": {"host": {"default": "127.0.0.1:3000", "description": "Host and port."}},
    "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in SECURITY_SCHEMES],
}
AUTH = SocketEvent(name="auth", channel="/", sender="client", payloads=(AuthIn,), answer=Refusal)
"""The payload of the packet that connects to a namespace, to any of them."""
ANSWERS = (
    SocketEvent(name="refusal", channel="/", sender="server", payloads=(Refusal,)),
    SocketEvent(name="acknowledgement", channel="/", sender="server", payloads=(Acknowledgement,)),
)
Payload = type[BaseModel] | str


def socket_schema(version: str) -> dict[str, Any]:
    """A schema of one message: the event's `name`, the namespace (`channel`) and the `sender` tell which, `payload` is
    its one argument. The packet that connects is `auth`, a connect error `refusal`, and what answers a command
    `acknowledgement`."""
    components = Components(DEFINITIONS)
    messages = {}
    for event in (*SOCKET_EVENTS, AUTH, *ANSWERS):
        messages[_title(event)] = _message(event, components)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Message",
        "description": f"What goes over the Socket.IO connections of openhands-sessions {version}.",
        "oneOf": [{"$ref": DEFINITIONS.format(model=title)} for title in messages],
        "$defs": {**components.schemas, **messages},
    }


def _title(event: SocketEvent) -> str:
    """Its name as a class has it, with its channel where another channel has the same name."""
    shared = event.channel != "/" and any(each.name == event.name for each in SOCKET_EVENTS if each.channel == "/")
    words = [*([event.channel[1:]] if shared else []), *event.name.split("_")]
    return "".join(word.capitalize() for word in words) + "Message"


def _message(event: SocketEvent, components: Components) -> Schema:
    payloads = [_payload(each, event.sender, components) for each in event.payloads]
    either = payloads[0] if len(payloads) == 1 else {"anyOf": payloads}
    fixed = {"name": event.name, "channel": event.channel, "sender": event.sender}
    return {
        "type": "object",
        "title": _title(event),
        "properties": {
            **{key: {"type": "string", "const": value} for key, value in fixed.items()},
            "payload": {"type": "array", "items": either} if event.many else either,
        },
        "required": [*fixed, "payload"],
        "additionalProperties": False,
    }


def asyncapi(version: str, base: str = "") -> dict[str, Any]:
    """The document, as of the server: it `send`s what clients get, and `receive`s what they emit. `base` stands before
    its path."""
    components = Components(PLACE)
    messages: dict[str, Schema] = {}
    channels: dict[str, Schema] = {}
    operations: dict[str, Schema] = {}
    for address, (key, description) in CHANNELS.items():
        exchanges = [AUTH, *(event for event in SOCKET_EVENTS if event.channel == address)]
        found = {name: message for event in exchanges for name, message in _messages(event, components).items()}
        refs = {name: _ref("components", "messages", name) for name in found}
        channels[key] = {"address": address, "description": description, "messages": refs}
        operations |= {f"{key}.{event.name}": _operation(event, key) for event in exchanges}
        messages |= found
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "openhands-sessions over Socket.IO", "version": version, "description": ABOUT},
        "defaultContentType": "application/json",
        "servers": {"server": {**SERVER, "pathname": f"{base}{PATHNAME}"}},
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": components.schemas, "securitySchemes": SECURITY_SCHEMES},
    }


def _messages(event: SocketEvent, components: Components) -> dict[str, Schema]:
    """Each message of an event, and what answers it, by its key."""
    found = {}
    for key, payload in zip(_keys(event), event.payloads, strict=True):
        schema = _payload(payload, event.sender, components)
        payload_schema = {"type": "array", "items": schema} if event.many else schema
        found[key] = {"name": event.name, "summary": _summary(payload), "payload": payload_schema}
    if event.answer is not None:
        schema = _payload(event.answer, "server", components)
        name = event.answer.__name__.lower()
        found[name] = {"name": name, "summary": _summary(event.answer), "payload": schema}
    return found


def _operation(event: SocketEvent, channel: str) -> Schema:
    place = ("channels", channel, "messages")
    operation: Schema = {
        "action": "send" if event.sender == "server" else "receive",
        "channel": _ref("channels", channel),
        "messages": [_ref(*place, key) for key in _keys(event)],
    }
    if event.answer is not None:
        answer = _ref(*place, event.answer.__name__.lower())
        operation["reply"] = {"channel": _ref("channels", channel), "messages": [answer]}
    return operation


def _keys(event: SocketEvent) -> list[str]:
    """A key for each message: an event's name, with that of its payload where there are several."""
    if len(event.payloads) == 1:
        return [event.name]
    return [f"{event.name}.{payload if isinstance(payload, str) else payload.__name__}" for payload in event.payloads]


def _payload(payload: Payload, sender: str, components: Components) -> Schema:
    if isinstance(payload, str):
        return components.refer(payload)
    mode: JsonSchemaMode = "serialization" if sender == "server" else "validation"
    return components.describe(payload, mode)


def _summary(payload: Payload) -> str:
    return "A stored event." if isinstance(payload, str) else " ".join((payload.__doc__ or "").split())


def _ref(*parts: str) -> Schema:
    return {"$ref": "#/" + "/".join(parts)}
