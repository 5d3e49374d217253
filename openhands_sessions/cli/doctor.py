"""`doctor`: whether this machine has what the server needs, and what to do where it has not."""

import asyncio
import errno
import json
import os
import platform
import resource
import shutil
import socket
import ssl
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Literal
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

from openhands_sessions import __version__
from openhands_sessions.bootstrap import application as bootstrap
from openhands_sessions.bootstrap import kinds
from openhands_sessions.bootstrap.tls import identity_of
from openhands_sessions.cli.output import NAME, columns
from openhands_sessions.cli.settings import loaded
from openhands_sessions.config.config import Config, ServerSection
from openhands_sessions.config.errors import ConfigError
from openhands_sessions.config.session_key import FILE as KEY_FILE
from openhands_sessions.config.session_key import read_key
from openhands_sessions.core.errors import BadInput, SessionsError

FEW_FILES = 4_096
"""Open files below which some hundred clients are too many."""
LITTLE_DISK, NO_DISK = 2 << 30, 64 << 20
"""Free bytes below which it is soon full; below which it is."""
SOON = timedelta(days=14)
"""Before a certificate expires."""
_KNOCK_SECONDS = 2.0
_SHORT_ANSWER = 1_000

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: `found` says how it is, `advice` what to do."""

    name: str
    status: Status
    found: str
    advice: str = ""


def run(flags: Mapping[str, object], file: Path | None, *, as_json: bool) -> int:
    """Look, and print what was found; 1 where something keeps the server from working."""
    findings = list(_look(flags, file))
    failed = any(finding.status == "fail" for finding in findings)
    if as_json:
        listed = {"version": __version__, "ok": not failed, "checks": [asdict(finding) for finding in findings]}
        print(json.dumps(listed, indent=2))
    else:
        print(columns(("check", "", "found"), [(each.name, each.status, each.found) for each in findings]))
        for each in findings:
            if each.advice:
                print(f"\n{each.name}: {each.advice}")
    return 1 if failed else 0


def _look(flags: Mapping[str, object], file: Path | None) -> Iterator[Finding]:
    yield Finding("python", "ok", platform.python_version())  # an older one could not have loaded this module
    try:
        config = loaded(flags, file, quiet=True).config
    except ConfigError as error:
        yield Finding(
            "configuration", "fail", str(error), "Correct it, then run doctor again: the other checks depend on it."
        )
        return
    yield Finding("configuration", "ok", "read")
    looks: tuple[Callable[[Config], Finding], ...] = (
        data_dir,
        disk,
        database,
        unix_socket,
        bash,
        files,
        port,
        tls,
        access,
        model,
    )
    for look in looks:
        yield look(config)
    yield from docker(config)


def data_dir(config: Config) -> Finding:
    folder = config.data_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        mode = stat.S_IMODE(folder.stat().st_mode)
    except OSError as error:
        advice = "Name another folder with --data-dir, or mend its owner, its mode or the disk."
        return Finding("data folder", "fail", f"{folder}: {error.strerror}", advice)
    if mode & 0o077:
        advice = f"Others on this machine may look in: chmod 700 {folder}"
        return Finding("data folder", "warn", f"{folder} (mode {mode:o})", advice)
    return Finding("data folder", "ok", str(folder))


def disk(config: Config) -> Finding:
    try:
        free = shutil.disk_usage(config.data_dir).free
    except OSError as error:
        return Finding("disk", "fail", f"{error.strerror}", "The data folder's file system cannot be looked at.")
    found = f"{free / (1 << 30):.1f} GiB free"
    if free >= LITTLE_DISK:
        return Finding("disk", "ok", found)
    advice = "The data folder's disk is almost full: free some, for conversations and workspaces grow."
    return Finding("disk", "warn" if free >= NO_DISK else "fail", found, advice)


def database(config: Config) -> Finding:
    if config.store.kind == "memory":
        return Finding("database", "warn", "none: kept in memory", "Set store.kind to sqlite to keep conversations.")
    folder = config.data_dir if config.store.path is None else config.store.path.parent
    try:
        found = f"SQLite {kinds.probe_store(folder)} with a write-ahead log"
    except SessionsError as error:
        return Finding("database", "fail", error.message, "Put the data folder on a local disk with free space.")
    if lost := kinds.lost_commits(config):
        advice = "The newest events may be missing: restore a backup, or remove the file to go on with what is left."
        return Finding("database", "warn", f"{found}; lost commits are in {', '.join(lost)}", advice)
    return Finding("database", "ok", found)


def unix_socket(config: Config) -> Finding:
    folder = config.runtime.path or config.data_dir
    try:
        with tempfile.TemporaryDirectory(prefix=".probe-", dir=folder) as place:
            opened = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.bind(f"/proc/self/fd/{opened}/s")  # short, however deep the folder lies
            finally:
                os.close(opened)
    except OSError as error:
        advice = "Commands are run through a socket there: use a folder on a local Linux file system."
        return Finding("unix socket", "fail", f"{folder}: {error.strerror}", advice)
    return Finding("unix socket", "ok", "can be made")


def bash(config: Config) -> Finding:
    found = shutil.which("bash")
    if found is None:
        return Finding("bash", "fail", "not found in PATH", "Install bash: commands run in it.")
    return Finding("bash", "ok", found)


def files(config: Config) -> Finding:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)  # `serve` takes as many as it may have
    if most == resource.RLIM_INFINITY or most >= FEW_FILES:
        return Finding("open files", "ok", str(most) if most != resource.RLIM_INFINITY else "no limit")
    advice = f"Each client needs one: raise the limit with `ulimit -Hn {FEW_FILES}` as root before the start."
    return Finding("open files", "warn", f"{most} at most", advice)


def port(config: Config) -> Finding:
    host, number = config.server.host, config.server.port
    where = f"{host}:{number}"
    try:
        asyncio.run(_listen(host, number))
    except OSError as error:
        if error.errno == errno.EADDRINUSE and _is_ours(config.server):
            return Finding("port", "ok", f"{where}: a server of ours listens there already")
        advice = "Something listens there already; or name another address with --host and --port."
        return Finding("port", "fail", f"{where}: {os.strerror(error.errno) if error.errno else error}", advice)
    return Finding("port", "ok", f"{where} is free")


async def _listen(host: str, number: int) -> None:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, number)
    server.close()
    await server.wait_closed()


def _is_ours(server: ServerSection) -> bool:
    """Whether what listens says that it is one of ours. Nothing is sent to it, so it need not prove it."""
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    direct = build_opener(ProxyHandler({}), HTTPSHandler(context=anyone))
    scheme = "http" if server.tls_certificate is None else "https"
    name = f"[{server.host}]" if ":" in server.host else server.host
    url = f"{scheme}://{name}:{server.port}{server.base_path}/health/ready"
    try:
        with direct.open(url, timeout=_KNOCK_SECONDS) as answer:
            body = json.loads(answer.read(_SHORT_ANSWER))
    except (OSError, HTTPException, ValueError):
        return False
    return isinstance(body, dict) and body.get("server") == NAME


def tls(config: Config) -> Finding:
    try:
        own = identity_of(config)
    except BadInput as error:
        return Finding("tls", "fail", error.message, "The server does not start like this.")
    if own is None:
        return Finding("tls", "ok", "plain HTTP")
    left = own.expires - datetime.now(UTC)
    found = f"the certificate expires in {left.days} days"
    if left < SOON:
        return Finding("tls", "warn", found, "Renew it: a server that runs takes up the new file by itself.")
    return Finding("tls", "ok", found)


def access(config: Config) -> Finding:
    """Who may call."""
    if (problem := config.auth_problem) is not None:
        return Finding("access", "fail", problem, "The server does not start like this.")
    if config.is_open:
        advice = (
            "Every user and program of this machine can run commands as you: leave out auth.kind and the empty key."
        )
        return Finding("access", "warn", "open, without a key", advice)
    if config.auth.kind == "tokens":
        return _token_access(config)
    if config.auth.kind == "trusted_header":
        return Finding("access", "ok", f"by {config.auth.header}, from {', '.join(config.auth.proxies)}")
    if config.server.session_api_key is not None:
        return Finding("access", "ok", "by the configured key")
    file = config.data_dir / KEY_FILE
    try:
        if read_key(config.data_dir) is None:
            return Finding("access", "ok", "by a key that the server makes at its first start")
        mode = stat.S_IMODE(file.stat().st_mode)
    except (ConfigError, OSError) as error:
        return Finding("access", "fail", str(error), "Correct the file or its folder, or remove the file.")
    if mode & 0o077:
        advice = (
            f"Others may read the key: remove the file, and start the server again for a new one; or chmod 600 {file}"
        )
        return Finding("access", "warn", f"by the key in {file} (mode {mode:o})", advice)
    return Finding("access", "ok", f"by the key in {file}")


def _token_access(config: Config) -> Finding:
    try:
        kinds.configured_auth(config)
    except SessionsError as error:
        return Finding("access", "fail", error.message, "Correct the keys, or the file of revoked tokens.")
    return Finding("access", "ok", "by signed tokens")


def model(config: Config) -> Finding:
    if config.llm.model is None:
        advice = (
            "The shell agent answers. For a model set llm.model and llm.api_key (OHS_LLM__MODEL, OHS_LLM__API_KEY)."
        )
        return Finding("model", "warn", "none", advice)
    try:
        asyncio.run(bootstrap.probe_model(config, config.llm.model))
    except SessionsError as error:
        return Finding("model", "fail", config.llm.model, error.message)
    return Finding("model", "ok", config.llm.model)


def docker(config: Config) -> Iterator[Finding]:
    if config.runtime.kind != "docker":
        yield Finding("docker", "ok", "not used by the local runtime, which does not isolate")
        return
    try:
        looked = asyncio.run(kinds.probe_docker(config))
    except OSError as error:
        yield Finding(
            "docker", "fail", f"{error.strerror}", "Correct the data folder: sandboxes share it with the server."
        )
        return
    for each in looked:
        status: Status = "ok" if not each.problem else "fail" if each.vital else "warn"
        yield Finding(each.name, status, each.found, each.problem)
