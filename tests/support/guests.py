"""All the clients of one test: made here, and gone when the test ends."""

from types import TracebackType

from tests.support.clients import Client, Protocol2Client, V0Client
from tests.support.operator import Operator
from tests.support.rest import Rest


class Guests:
    """Whoever visits one server. `rest` is its REST side."""

    def __init__(self, url: str, *, key: str | None = None) -> None:
        self.rest = Rest(url, key=key)
        self._url = url
        self._key = key
        self._clients: list[Client] = []
        self._operators: list[Operator] = []

    async def __aenter__(self) -> "Guests":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            await client.leave()
        for operator in self._operators:
            await operator.leave()
        await self.rest.http.close()

    def protocol2(self, sid: str, url: str | None = None) -> Protocol2Client:
        """A client by protocol 2, not connected yet."""
        client = Protocol2Client(self.rest.http, url or self._url, sid, key=self._key)
        self._clients.append(client)
        return client

    def v0(self, sid: str, url: str | None = None) -> V0Client:
        """A client as the web client is, not connected yet."""
        client = V0Client(self.rest.http, url or self._url, sid, key=self._key)
        self._clients.append(client)
        return client

    async def until_ready(self, *sids: str) -> None:
        """Wait until the sessions of these conversations are set up. A busy machine may take longer than `create`
        waits."""
        operator = self.operator()
        await operator.connect()
        await operator.until(lambda: all(operator.state_of(sid) == "Ready" for sid in sids))
        await operator.leave()

    def operator(self) -> Operator:
        """An operator, not connected yet."""
        operator = Operator(self.rest.http, self._url, key=self._key)
        self._operators.append(operator)
        return operator
