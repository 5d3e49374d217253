"""The network of the sandboxes, and the firewall rules that keep them from the host and from private networks."""

import asyncio
import contextlib
import math
from collections.abc import Callable
from contextvars import Context

import structlog

from openhands_sessions.adapters.runtimes.docker.container_spec import INSTANCE, DockerSettings
from openhands_sessions.adapters.runtimes.docker.engine import DockerEngine
from openhands_sessions.adapters.runtimes.docker.errors import ImageMissing, NetworkGone
from openhands_sessions.core.errors import RuntimeUnavailable

log = structlog.get_logger(__name__)

NO_NETWORK = "none"
NO_RULES = (
    "The sandbox has no network, for the rules that keep it from private ones could not be set; build our images with"
    " `make images`, or choose docker.network = none or open"
)
_BLOCKED = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
)
"""This-host, private, shared, link-local (cloud metadata), benchmark, multicast and reserved ranges."""
_ANY = "0.0.0.0/0"
"""For `none` with an executor that is reached by a port: only replies pass."""
_SET = """
set -eu
bridge=$1 chain=$2 resolvers=$3; shift 3
tables=
for each in iptables iptables-legacy; do
    if $each -w -n -L DOCKER-USER >/dev/null 2>&1; then tables=$each; break; fi
done
[ -n "$tables" ]
{
    printf '*filter\\n:%s - [0:0]\\n:%s-H - [0:0]\\n' "$chain" "$chain"
    printf -- '-A %s -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN\\n' "$chain"
    sed -n 's/^nameserver *\\([0-9.]*\\) *$/\\1/p' "$resolvers" | while read -r resolver; do
        printf -- '-A %s -d %s -p udp --dport 53 -j RETURN\\n' "$chain" "$resolver"
        printf -- '-A %s -d %s -p tcp --dport 53 -j RETURN\\n' "$chain" "$resolver"
    done
    for range in "$@"; do printf -- '-A %s -d %s -j REJECT\\n' "$chain" "$range"; done
    printf -- '-A %s-H -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN\\n' "$chain"
    printf -- '-A %s-H -j REJECT\\nCOMMIT\\n' "$chain"
} | $tables-restore -w --noflush
for jump in "DOCKER-USER $chain" "INPUT $chain-H"; do
    set -- $jump
    $tables -w -C "$1" -i "$bridge" -j "$2" 2>/dev/null || $tables -w -I "$1" 1 -i "$bridge" -j "$2"
done
"""
"""Run as root in the engine's network namespace. Replaces whole chains, so there is no moment without rules. Packets to
the host pass INPUT, others pass DOCKER-USER."""
_UNSET = """
bridge=$1 chain=$2
for tables in iptables iptables-legacy; do
    for jump in "DOCKER-USER $chain" "INPUT $chain-H"; do
        set -- $jump
        while $tables -w -D "$1" -i "$bridge" -j "$2"; do :; done
        $tables -w -F "$2" && $tables -w -X "$2"
    done
done 2>/dev/null
:
"""


_VERIFIED_SECONDS = 60.0


class SandboxNetwork:
    """The network of one instance's sandboxes, created at its first use. Administrators may prune networks or reload
    the firewall at any time: both are set again in the background where that was last done `sure_for` seconds ago."""

    def __init__(
        self, engine: DockerEngine, settings: DockerSettings, instance: str, *, sure_for: float = _VERIFIED_SECONDS
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._instance = instance
        self._bridge = f"ohs{instance[:8]}{settings.network[0]}"
        self._isolated = settings.network == NO_NETWORK
        self._chain = f"OHS-{instance[:8]}{'-N' if self._isolated else ''}"
        self._setting_up = asyncio.Lock()
        self._sure_for = sure_for
        self._ready = False
        self._last_try = -math.inf
        self._background: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return f"openhands-sessions-{self._instance}-{self._settings.network}"

    def prepare(self) -> None:
        """Begin to set it up, unless that was done recently. The next sandbox that needs it gets the error."""
        if not self._no_network and asyncio.get_running_loop().time() - self._last_try >= self._sure_for:
            self._begin()

    async def ready(self, report: Callable[[str], None]) -> str:
        """The name of the network for a new container, in which no command may run before `verify`. Where the rules of
        `egress` cannot be set, it is `none`, and `report` is called with the reason. Raises RuntimeUnavailable."""
        if self._no_network:
            return NO_NETWORK
        if self._ready:
            self.prepare()
            return self.name
        async with self._setting_up:
            try:
                if not self._ready:
                    await self._set_up()
            except RuntimeUnavailable as error:
                if self._settings.network != "egress" or not self._engine.local:
                    raise
                report(f"{NO_RULES}: {error.message}")
                log.warning("sandboxes have no network", problem=error.message)
                return NO_NETWORK
        return self.name

    async def verify(self, network: str) -> None:
        """Wait for a set-up in the background. Raises NetworkGone where it failed."""
        await self.close()
        if network == self.name and not self._ready:
            raise NetworkGone

    async def renew(self) -> None:
        """Set it up again, if that was tried before: sandboxes may be in it, also where the last try failed."""
        if self._last_try > -math.inf:
            self._begin()
            await self.close()

    def forget(self) -> None:
        """The next container sets it up again."""
        self._ready = False

    async def close(self) -> None:
        """Wait for a set-up in the background."""
        if self._background is not None:
            await asyncio.wait([self._background])

    async def remove(self) -> None:
        """Remove the network and its rules. The containers must be gone."""
        if self._no_network:
            return
        await self.close()
        async with self._setting_up:
            self._ready, self._last_try = False, -math.inf
            await self._engine.remove_network(self.name)
            if self._settings.network != "open":
                with contextlib.suppress(ImageMissing):  # then the rules could not be set either
                    await self._run_as_host(_UNSET, self._bridge, self._chain)

    @property
    def _no_network(self) -> bool:
        return self._isolated and self._engine.local

    def _begin(self) -> None:
        if self._background is None or self._background.done():
            # An empty context: its logs must not carry the id of the conversation that happens to trigger it.
            self._background = asyncio.create_task(
                self._set_up_in_background(), name="sandboxes' network", context=Context()
            )

    async def _set_up_in_background(self) -> None:
        async with self._setting_up:
            try:
                await self._set_up()
            except RuntimeUnavailable as error:
                self._ready = False
                log.warning("the network of the sandboxes is not as it must be", problem=error.message)

    async def _set_up(self) -> None:
        """Idempotent."""
        self._last_try = asyncio.get_running_loop().time()
        options = {"com.docker.network.bridge.name": self._bridge, "com.docker.network.bridge.enable_icc": "false"}
        await self._engine.create_network(self.name, options, {INSTANCE: self._instance})
        if self._settings.network != "open":
            names, ranges = ("/dev/null", (_ANY,)) if self._isolated else ("/etc/resolv.conf", _BLOCKED)
            await self._run_as_host(_SET, self._bridge, self._chain, names, *ranges)
        self._ready = True

    async def _run_as_host(self, script: str, *words: str) -> None:
        """Run a script in the engine's network namespace: the server may be in another one, and need not be root."""
        spec = {
            "Image": self._settings.firewall_image,
            "User": "0:0",
            "Entrypoint": ["sh", "-c", script, "sh"],
            "Cmd": list(words),
            "HostConfig": {
                "NetworkMode": "host",
                "CapDrop": ["ALL"],
                "CapAdd": ["NET_ADMIN", "NET_RAW"],
                "SecurityOpt": ["no-new-privileges"],
                "ReadonlyRootfs": True,
                "Tmpfs": {"/run": "rw,nosuid,nodev,size=1m"},
            },
        }
        container = await self._engine.create(None, spec, {INSTANCE: self._instance})
        try:
            await self._engine.start(container)
            status = await self._engine.wait(container)
        finally:
            await self._engine.remove(container)
        if status:
            raise RuntimeUnavailable(f"iptables has no chain DOCKER-USER, or says no ({status})")
