"""Who a caller is, also behind a proxy: what `X-Forwarded-*` say counts where a trusted proxy has written it."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Caller:
    """The client, as the outermost trusted proxy sees it, or as we see it without a proxy. `host` is the name that it
    asked for, with a port if it named one; `secure`: over TLS."""

    address: str
    host: str
    secure: bool


CALLER = web.RequestKey("caller", Caller)
"""Of a request that came through a trusted proxy."""


def caller_of(request: web.BaseRequest) -> Caller:
    """Who sent a request."""
    return request.get(CALLER) or Caller(request.remote or "", request.host, request.secure)


def address_of(request: web.BaseRequest) -> str:
    """The address of who sent a request; empty where the connection is gone."""
    caller = request.get(CALLER)
    return request.remote or "" if caller is None else caller.address


class TrustedProxies:
    """Addresses and networks, of which each is one that `ipaddress` can read."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = tuple(map(ip_network, networks))

    def __contains__(self, address: str) -> bool:
        """Whether a proxy at this address is trusted; what is no address is not."""
        if not self._networks:
            return False
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        plain = parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed
        return any(plain in network for network in self._networks)

    def counted_as(self, address: str) -> str:
        """Under which an address is counted: for IPv6 the network, in which one machine has all addresses. Empty for
        loopback and trusted proxies, behind which are many callers: they are not counted."""
        if address.startswith("127.") or address in self:
            return ""
        if ":" not in address:
            return address
        try:
            parsed = ip_address(address)
        except ValueError:
            return address
        assert isinstance(parsed, IPv6Address)
        if parsed.ipv4_mapped:
            return self.counted_as(str(parsed.ipv4_mapped))
        return "" if parsed.is_loopback else parsed.packed[:8].hex()

    def caller(self, request: web.BaseRequest) -> Caller | None:
        """Who sent a request to a trusted proxy; None where none has passed it on.

        Each proxy adds the address that it is called from on the right. Read from there, the first that is not a
        trusted proxy's is the caller's: what stands on its left is what that caller claims.
        """
        nearest = request.remote or ""
        if nearest not in self:
            return None
        address = nearest
        for told in reversed(_values(request, "X-Forwarded-For")):
            if (plain := _address(told)) is None:
                break
            address = plain
            if address not in self:
                break
        host, scheme = _values(request, "X-Forwarded-Host"), _values(request, "X-Forwarded-Proto")
        return Caller(
            address, host[-1] if host else request.host, scheme[-1].lower() == "https" if scheme else request.secure
        )


def _values(request: web.BaseRequest, name: str) -> list[str]:
    return [text.strip() for line in request.headers.getall(name, ()) for text in line.split(",") if text.strip()]


def _address(told: str) -> str | None:
    """The address in an entry, which may have a port; None where it is none."""
    bare = told[1:].partition("]")[0] if told.startswith("[") else told
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        return str(ip_address(bare))
    except ValueError:
        return None
