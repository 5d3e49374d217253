"""Messages of servers as text: what cannot be read, but answers a call, becomes the fault of that call."""

import json
import re
from typing import Any

from mcp import types

from openhands_sessions.adapters.mcp.attempts import CallFault, FaultKind
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.json_text import read_json
from openhands_sessions.ports.programs import LONGEST_LINE, CutLine

TOO_LONG = f"gave an answer of more than {LONGEST_LINE >> 20} MiB, which cannot be used"
UNREADABLE = "gave an answer that cannot be used"
_SHOWN = 512
_SPACE = re.compile(r"\s*")
_LAST_MEMBERS = re.compile(r'((?:,\s*"(?:id|jsonrpc)"\s*:\s*(?:"[^"\\]*"|\d+)\s*){2})\}\s*\Z')


def read_message(text: str | CutLine) -> types.JSONRPCMessage | None:
    """The message, an error in place of an answer that cannot be used; None for what is neither."""
    if isinstance(text, CutLine):
        return _fault_of(_scanned(text.head, text.tail), TOO_LONG)
    if not text.lstrip().startswith("{"):
        return None  # programs also print text that is not a message
    try:
        return types.jsonrpc_message_adapter.validate_json(text, by_name=False)
    except ValueError:
        pass
    try:
        value = read_json(text)
        return types.jsonrpc_message_adapter.validate_python(value, by_name=False)
    except ValueError:
        return _fault_of(_members(text), UNREADABLE)


def _members(text: str) -> dict[str, Json]:
    try:
        value = read_json(text)
    except ValueError:
        return _scanned(text[:_SHOWN], text[-_SHOWN:])
    return value if isinstance(value, dict) else {}


def _fault_of(members: dict[str, Json], words: str) -> types.JSONRPCError | None:
    number = members.get("id")
    if members.get("jsonrpc") != "2.0" or "method" in members or not isinstance(number, str | int):
        return None
    return fault_message(number, CallFault(FaultKind.UNKNOWN, words))


def fault_message(number: str | int, fault: CallFault) -> types.JSONRPCError:
    """What ends the call of this number with the fault."""
    error = types.ErrorData(code=types.PARSE_ERROR, message=fault.words, data=fault)
    return types.JSONRPCError(jsonrpc="2.0", id=number, error=error)


def _scanned(head: str, tail: str) -> dict[str, Json]:
    """The scalar members at both ends of an object whose middle is missing or broken."""
    found = _first_members(head)
    if last := _LAST_MEMBERS.search(tail):
        found = {**json.loads("{" + last[1].lstrip(", \t\r\n") + "}"), **found}
    return found


def _first_members(head: str) -> dict[str, Json]:
    """The members before the first value that is no scalar, which is found as None."""
    found: dict[str, Any] = {}
    decoder, place = json.JSONDecoder(), _past_space(head, 0)
    while head[place : place + 1] in ("{", ","):
        try:
            name, place = decoder.raw_decode(head, _past_space(head, place + 1))
            start = _past_space(head, _past_space(head, place) + 1)
            found[name] = None
            if head[start : start + 1] in ("{", "["):
                break
            found[name], place = decoder.raw_decode(head, start)
        except ValueError:
            break
        place = _past_space(head, place)
    return found


def _past_space(text: str, place: int) -> int:
    space = _SPACE.match(text, place)
    return place if space is None else space.end()
