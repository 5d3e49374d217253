"""A network namespace for a Docker engine, with one link that leads out of it."""

import hashlib
import subprocess
from pathlib import Path

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


class PrivateNetwork:
    """Named after a folder, where it notes what it changed of this machine's settings. Takes root."""

    def __init__(self, folder: Path) -> None:
        digest = hashlib.sha256(str(folder).encode()).digest()
        prefix, last = f"198.18.{digest[4]}", digest[5] & 0xFC
        self.subnet = f"{prefix}.{last}/30"
        self.outside = f"{prefix}.{last + 1}"
        """Our end of the link, as it is called inside."""
        self.inside = f"{prefix}.{last + 2}"
        """The engine's end, as it is called out here."""
        self._folder = folder
        self._name = f"ohs{digest[:4].hex()}"

    @property
    def path(self) -> Path:
        return Path("/run/netns") / self._name

    def make(self) -> None:
        name = self._name
        for words in (
            f"netns add {name}",
            f"link add {name}a type veth peer name {name}b",
            f"link set {name}b netns {name}",
            f"addr add {self.outside}/30 dev {name}a",
            f"link set {name}a up",
            f"-n {name} addr add {self.inside}/30 dev {name}b",
            f"-n {name} link set {name}b up",
            f"-n {name} link set lo up",
            f"-n {name} route add default via {self.outside}",
        ):
            subprocess.run(["ip", *words.split()], check=True)
        if _FORWARDING.read_text().strip() == "0":
            _FORWARDING.write_text("1")
            (self._folder / "forwarding").touch()
        for rule in self._rules():
            subprocess.run(["iptables", "-w", *rule.format("-I").split()], check=True)

    def remove(self) -> None:
        """Nothing where there is none."""
        for rule in self._rules():
            while not _fails(["iptables", "-w", *rule.format("-D").split()]):
                pass
        _fails(["ip", "link", "delete", f"{self._name}a"])
        _fails(["ip", "netns", "delete", self._name])
        if (self._folder / "forwarding").exists():
            _FORWARDING.write_text("0")
            (self._folder / "forwarding").unlink()

    def _rules(self) -> list[str]:
        link = f"{self._name}a"
        return [
            f"-t nat {{}} POSTROUTING -s {self.subnet} -j MASQUERADE",
            f"{{}} FORWARD -i {link} -j ACCEPT",
            f"{{}} FORWARD -o {link} -j ACCEPT",
        ]


def _fails(words: list[str]) -> bool:
    return subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode != 0
