"""The usage reports of another server."""

from openhands_sessions.adapters.gateways.reading import read
from openhands_sessions.adapters.gateways.rest import RestClient
from openhands_sessions.core.ids import OwnerId
from openhands_sessions.ports.usage import UsageReport
from openhands_sessions.protocol import parameters, routes
from openhands_sessions.protocol.usage import UsageOut


class RemoteUsage:
    """A UsageReports over REST. Raises Unreachable where the server does not answer."""

    def __init__(self, rest: RestClient) -> None:
        self._rest = rest

    async def report(self, user: OwnerId | None = None, *, days: int = 1) -> UsageReport:
        query = {parameters.DAYS.name: days} | ({} if user is None else {parameters.USER.name: user})
        return read(UsageOut, await self._rest.call(routes.USAGE, query=query), "a report of usage").report()
