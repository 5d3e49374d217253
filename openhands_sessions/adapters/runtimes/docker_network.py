"""The networks of sandboxes, and the rules that keep them from the host and its neighbours."""

from collections.abc import Mapping
from typing import Any

from openhands_sessions.adapters.runtimes.docker_container import INSTANCE
from openhands_sessions.adapters.runtimes.docker_engine import Engine
from openhands_sessions.adapters.runtimes.docker_settings import DockerSettings
from openhands_sessions.core.errors import RuntimeUnavailable

NO_NETWORK = "none"
_CLOSED = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
)
"""Hosts' own, private, shared, link-local (where clouds keep their metadata), benchmark, multicast and reserved."""
_SCRIPT = """
set -eu
bridge=$1 chain=$2; shift 2
tables=
for each in iptables iptables-legacy; do
    if $each -w -n -L DOCKER-USER >/dev/null 2>&1; then tables=$each; break; fi
done
[ -n "$tables" ] || exit 3
{
    printf '*filter\\n:%s - [0:0]\\n:%s-H - [0:0]\\n' "$chain" "$chain"
    printf -- '-A %s -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN\\n' "$chain"
    sed -n 's/^nameserver \\([0-9.]*\\)$/\\1/p' /etc/resolv.conf | grep -v '^127\\.' | while read -r resolver; do
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
"""Run as root in the engine's own network. Its chains are replaced as a whole, so there is no moment without them."""
_NO_CHAIN = 3


class Networks:
    """The networks that one instance uses; each is made when it is first needed."""

    def __init__(self, engine: Engine, settings: DockerSettings, instance: str) -> None:
        self._engine = engine
        self._settings = settings
        self._instance = instance
        self._short = instance[:8]

    @property
    def name(self) -> str:
        return f"openhands-sessions-{self._instance}"

    async def ready(self) -> str:
        """The name of the network for a new container. Raises RuntimeUnavailable, also where the rules of `egress`
        cannot be set."""
        if self._settings.network == "none":
            return NO_NETWORK
        bridge = f"ohs{self._short}"
        options = {
            "com.docker.network.bridge.name": bridge,
            "com.docker.network.bridge.enable_icc": "false",
        }
        await self._engine.make_network(self.name, options, {INSTANCE: self._instance})
        if self._settings.network == "egress":
            await self._run_as_host("firewall", ["sh", "-c", _SCRIPT, "sh", bridge, f"OHS-{self._short}", *_CLOSED])
        return self.name
