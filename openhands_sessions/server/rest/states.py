"""`/api/conversations/{id}/state`, `/api/user/state` and `/api/app/state`."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import uuid4

from aiohttp import web

from openhands_sessions.core.errors import NotFound
from openhands_sessions.core.state import KeyedState, StateChange
from openhands_sessions.core.state_values import checked_key
from openhands_sessions.ports.state import StateScope
from openhands_sessions.protocol.payloads import Reply
from openhands_sessions.protocol.state_routes import APP, CHANGES, KEY, LARGEST_BODY, REVISION
from openhands_sessions.protocol.states import StateChangedOut, StateChangeIn, StateChangesOut, StateOut
from openhands_sessions.server.caller_rates import rates_of
from openhands_sessions.server.services import access, body_in_thread, number, permitted, principal

Scoping = Callable[[web.Request], Awaitable[StateScope]]


class StateHandlers:
    """Those of the states that `scope_of` finds for a request."""

    def __init__(self, scope_of: Scoping) -> None:
        self._scope_of = scope_of

    async def read(self, request: web.Request) -> web.Response:
        scope = await self._scope_of(request)
        states = access(request).states
        state = await states.read(scope)
        if (key := request.query.get(KEY.name)) is not None:
            entry = state.entries.get(key)
            if entry is None:
                raise NotFound("key", key[:64])
            shown = StateOut.of(KeyedState(state.revision, {key: entry}))
            if entry.file is not None:
                value = await states.file(scope, key)
                shown.entries[key] = shown.entries[key].model_copy(update={"value": value})
            return await _answer(lambda: shown)
        return await _answer(lambda: StateOut.of(state))

    async def change(self, request: web.Request) -> web.Response:
        scope = await self._scope_of(request)
        rates_of(request).messages.take()
        given = await body_in_thread(request, StateChangeIn, LARGEST_BODY)
        change = StateChange(
            id=given.id or uuid4().hex,
            operations=tuple(each.operation() for each in given.operations),
            actor=principal(request).owner,
            timestamp=datetime.now(UTC),
            bases=given.bases,
        )
        return web.json_response(StateChangedOut.of(await access(request).states.change(scope, change)).wire())

    async def changes(self, request: web.Request) -> web.Response:
        scope = await self._scope_of(request)
        after, limit = number(request, REVISION), number(request, CHANGES)
        found = await access(request).states.changes(scope, after=after, limit=limit)
        return await _answer(lambda: StateChangesOut.of(found, after))


async def _answer(reply: Callable[[], Reply]) -> web.Response:
    """Made in a thread: states and their changes have many small parts."""
    text = await asyncio.to_thread(lambda: json.dumps(reply().wire()))
    return web.Response(text=text, content_type="application/json")


async def _session(request: web.Request) -> StateScope:
    return StateScope.session(await permitted(request))


async def _user(request: web.Request) -> StateScope:
    return StateScope.user(principal(request).owner)


async def _app(request: web.Request) -> StateScope:
    return StateScope("app", checked_key(request.query.get(APP.name, APP.schema["default"])))


OF_SESSION, OF_USER, OF_APP = StateHandlers(_session), StateHandlers(_user), StateHandlers(_app)
