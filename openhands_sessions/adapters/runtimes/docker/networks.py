"""The networks of sandboxes, and the rules that keep them from the host and its neighbours."""

import asyncio
import contextlib
import math
from collections.abc import Callable
from contextvars import Context

import structlog

from openhands_sessions.adapters.runtimes.docker.container_spec import INSTANCE
from openhands_sessions.adapters.runtimes.docker.engine import DockerEngine
from openhands_sessions.adapters.runtimes.docker.errors import ImageMissing, NetworkGone
from openhands_sessions.adapters.runtimes.docker.settings import DockerSettings
from openhands_sessions.core.errors import RuntimeUnavailable

log = structlog.get_logger(__name__)

NO_NETWORK = "none"
NO_RULES = (
    "The sandbox has no network, for the rules that keep it from private ones could not be set; build our images with"
    " `make images`, or choose docker.network = none or open"
)
_CLOSED = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
)
"""Hosts' own, private, shared, link-local (where clouds keep their metadata), benchmark, multicast and reserved."""
_ALL = "0.0.0.0/0"
"""Where there is to be no network and the executor is reached by a port: replies pass, nothing else."""
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
"""Run as root in the engine's own network. Its chains are replaced as a whole, so there is no moment without them;
what goes to the host itself passes INPUT, what goes elsewhere DOCKER-USER."""
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


_SURE_SECONDS = 60.0


class SandboxNetwork:
    """The network of one instance's sandboxes, made when it is first needed. Who prunes networks or loads a firewall
    anew asks nobody: after `sure_for` seconds both are seen to again, beside what else is done."""

    def __init__(
        self, engine: DockerEngine, settings: DockerSettings, instance: str, *, sure_for: float = _SURE_SECONDS
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._instance = instance
        self._bridge = f"ohs{instance[:8]}{settings.network[0]}"
        self._shut = settings.network == NO_NETWORK
        self._chain = f"OHS-{instance[:8]}{'-N' if self._shut else ''}"
        self._making = asyncio.Lock()
        self._sure_for = sure_for
        self._ready = False
        self._seen = -math.inf
        self._seeing: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return f"openhands-sessions-{self._instance}-{self._settings.network}"

    def prepare(self) -> None:
        """Begin to see to it, unless that was tried just now. What is wrong is told when a sandbox needs it."""
        if not self._none and asyncio.get_running_loop().time() - self._seen >= self._sure_for:
            self._begin()

    async def ready(self, tell: Callable[[str], None]) -> str:
        """The name of the network for a new container, in which nothing foreign may run before `sure`. Where the rules
        of `egress` cannot be set that is none, and `tell` hears why. Raises RuntimeUnavailable."""
        if self._none:
            return NO_NETWORK
        if self._ready:
            self.prepare()
            return self.name
        async with self._making:
            try:
                if not self._ready:
                    await self._make()
            except RuntimeUnavailable as error:
                if self._settings.network != "egress" or self._engine.host is not None:
                    raise
                tell(f"{NO_RULES}: {error.message}")
                log.warning("sandboxes have no network", problem=error.message)
                return NO_NETWORK
        return self.name

    async def sure(self, network: str) -> None:
        """Wait until it is known again that the rules of a network hold. Raises NetworkGone where they could not be
        set."""
        await self.close()
        if network == self.name and not self._ready:
            raise NetworkGone

    async def renew(self) -> None:
        """See to it now, where that was tried once: sandboxes may be in it, also where it failed meanwhile."""
        if self._seen > -math.inf:
            self._begin()
            await self.close()

    def forget(self) -> None:
        """It is not as it was: the next that needs it makes it anew."""
        self._ready = False

    async def close(self) -> None:
        """Wait for what was begun."""
        if self._seeing is not None:
            await asyncio.wait([self._seeing])

    async def remove(self) -> None:
        """Undo `ready`. The containers must be gone."""
        if self._none:
            return
        await self.close()
        async with self._making:
            self._ready, self._seen = False, -math.inf
            await self._engine.remove_network(self.name)
            if self._settings.network != "open":
                with contextlib.suppress(ImageMissing):  # then it was not there to set them either
                    await self._run_as_host(_UNSET, self._bridge, self._chain)

    @property
    def _none(self) -> bool:
        return self._shut and self._engine.host is None

    def _begin(self) -> None:
        if self._seeing is None or self._seeing.done():
            # It is nobody's, whoever has it begin: what it logs is to name no conversation.
            self._seeing = asyncio.create_task(self._see(), name="sandboxes' network", context=Context())

    async def _see(self) -> None:
        async with self._making:
            try:
                await self._make()
            except RuntimeUnavailable as error:
                self._ready = False
                log.warning("the network of the sandboxes is not as it must be", problem=error.message)

    async def _make(self) -> None:
        """Where all is as it must be, this changes nothing."""
        self._seen = asyncio.get_running_loop().time()
        options = {
            "com.docker.network.bridge.name": self._bridge,
            "com.docker.network.bridge.enable_icc": "false",
        }
        await self._engine.make_network(self.name, options, {INSTANCE: self._instance})
        if self._settings.network != "open":
            names, ranges = ("/dev/null", (_ALL,)) if self._shut else ("/etc/resolv.conf", _CLOSED)
            await self._run_as_host(_SET, self._bridge, self._chain, names, *ranges)
        self._ready = True

    async def _run_as_host(self, script: str, *words: str) -> None:
        """Run a script in the engine's own network: the server may have another one, and need not be root."""
        recipe = {
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
        container = await self._engine.create(None, recipe, {INSTANCE: self._instance})
        try:
            await self._engine.start(container)
            status = await self._engine.wait(container)
        finally:
            await self._engine.remove(container)
        if status:
            raise RuntimeUnavailable(f"iptables has no chain DOCKER-USER, or says no ({status})")
