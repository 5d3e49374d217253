"""The states that a caller may see on another server."""

from collections.abc import Mapping, Sequence
from typing import Any

from openhands_sessions.adapters.gateways.reading import read
from openhands_sessions.adapters.gateways.rest import RestClient
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.state import KeyedState, StateChange, checked, dump_operation
from openhands_sessions.ports.state import NumberedChange, StateChanged, StateScope
from openhands_sessions.protocol import state_routes as routes
from openhands_sessions.protocol.route import Route
from openhands_sessions.protocol.states import StateChangedOut, StateChangeIn, StateChangesOut, StateOut

_READ = {"session": routes.READ_STATE, "user": routes.READ_USER_STATE, "app": routes.READ_APP_STATE}
_CHANGE = {"session": routes.CHANGE_STATE, "user": routes.CHANGE_USER_STATE, "app": routes.CHANGE_APP_STATE}
_CHANGES = {"session": routes.READ_STATE_CHANGES, "user": routes.READ_USER_CHANGES, "app": routes.READ_APP_CHANGES}


class RemoteStates:
    """A States over REST. Every call raises Unreachable where the server does not answer; then a change may have been
    made: the same id again makes it once. The user's state is that of the caller."""

    def __init__(self, rest: RestClient) -> None:
        self._rest = rest

    async def read(self, scope: StateScope) -> KeyedState:
        return read(StateOut, await self._call(_READ[scope.kind], scope), "a state").state()

    async def file(self, scope: StateScope, key: str) -> Json:
        found = await self._call(_READ[scope.kind], scope, {routes.KEY.name: key})
        value: Json = read(StateOut, found, "a value").entries[key].value
        return value

    async def change(self, scope: StateScope, change: StateChange) -> StateChanged:
        change = checked(change)
        given: dict[str, Any] = {
            "operations": [dump_operation(each) for each in change.operations],
            "bases": dict(change.bases),
            "id": change.id,
        }
        answer = await self._call(_CHANGE[scope.kind], scope, body=StateChangeIn.model_validate(given))
        return read(StateChangedOut, answer, "a changed state").changed()

    async def changes(self, scope: StateScope, *, after: int = 0, limit: int) -> Sequence[NumberedChange]:
        query = {routes.REVISION.name: after, routes.CHANGES.name: limit}
        found = await self._call(_CHANGES[scope.kind], scope, query)
        return [each.numbered() for each in read(StateChangesOut, found, "changes of a state").changes]

    async def _call(
        self,
        route: Route,
        scope: StateScope,
        query: Mapping[str, str | int] | None = None,
        body: StateChangeIn | None = None,
    ) -> Any:
        asked: dict[str, str | int] = dict(query or {})
        if scope.kind == "app":
            asked[routes.APP.name] = scope.name
        sid = ConversationId(scope.name) if scope.kind == "session" else None
        return await self._rest.call(route, sid, body=body, query=asked)
