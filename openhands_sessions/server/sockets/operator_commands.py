"""Carries out what operators send."""

from collections.abc import Mapping
from typing import Any

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import OwnerId, conversation_id
from openhands_sessions.core.json_limits import check_nesting
from openhands_sessions.ports.operations import OperatorCommands
from openhands_sessions.protocol.errors import Acknowledgement
from openhands_sessions.protocol.operators import (
    CLOSE,
    DRAIN,
    SET_LIMITS,
    STOP,
    UNDRAIN,
    CloseSessionIn,
    DrainIn,
    SetLimitsIn,
    StopTurnIn,
    UndrainIn,
)
from openhands_sessions.protocol.payloads import checked

NAMES = (STOP, CLOSE, SET_LIMITS, DRAIN, UNDRAIN)


async def carry_out(commands: OperatorCommands, by: OwnerId, event: str, values: tuple[Any, ...]) -> Mapping[str, Json]:
    """The acknowledgement. Raises BadInput, NotFound, NotAccepting, StorageUnavailable."""
    if event not in NAMES:
        raise BadInput("the event", f"must be one of {', '.join(NAMES)}, not {event[:64]!r}")
    if len(values) != 1:
        raise BadInput(event, f"takes one object, not {len(values)} values")
    [value] = values
    check_nesting(value, "the command")
    match event:
        case "stop":
            sid = conversation_id(checked(StopTurnIn, value).conversation_id)
            return Acknowledgement.accepting(await commands.stop_turn(sid, by))
        case "close":
            await commands.close_session(conversation_id(checked(CloseSessionIn, value).conversation_id), by)
        case "set_limits":
            commands.set_limits(checked(SetLimitsIn, value).changes(), by)
        case _:
            checked(DrainIn if event == DRAIN else UndrainIn, value)
            commands.drain(event == DRAIN, by)
    return Acknowledgement(ok=True).wire()
