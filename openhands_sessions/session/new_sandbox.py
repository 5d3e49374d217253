"""Tells the model that its sandbox is a new one: what earlier actions have left there is gone."""

import structlog

from openhands_sessions.core.errors import RuntimeFailure
from openhands_sessions.core.events.own import SandboxReplacedObservation
from openhands_sessions.core.ids import ConversationId, action_key
from openhands_sessions.ports.runtime import Runtime
from openhands_sessions.session.event_stream import EventStream

log = structlog.get_logger(__name__)

NEW_SANDBOX = (
    "[The sandbox is a new one: the files, programs and variables that earlier commands have left are gone. Look what"
    " exists, and make again what you need. The user did not write this.]"
)


async def note_new_sandbox(sid: ConversationId, stream: EventStream, runtime: Runtime) -> None:
    """Append that the sandbox is new, once, where actions ran in an earlier one. Nothing where this cannot be known
    now: the next session asks again."""
    executed = stream.view.sandbox.executed
    if executed is None:
        return
    try:
        replaced = await runtime.replaced(action_key(sid, executed))
    except RuntimeFailure as error:
        log.warning("whether the sandbox is a new one is not known", conversation_id=sid, problem=error.message)
        return
    if replaced:
        await stream.append(SandboxReplacedObservation(content=NEW_SANDBOX))
