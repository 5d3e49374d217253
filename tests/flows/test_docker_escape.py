"""What commands try in order to get out of a sandbox, or to take the machine with it. Each attempt is made inside."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.docker.runtimes import DockerRuntimes
from openhands_sessions.core.errors import FileProblem, PathRefused, RuntimeFailure, RuntimeUnavailable
from openhands_sessions.core.ids import folder_name
from openhands_sessions.ports.runtime import RunCommand, Runtime
from tests.support.docker_engine import Engine
from tests.support.docker_sandboxes import PLAIN, comes_to, containers, docker_runtimes
from tests.support.sandboxes import SID, Hearing, key, opened, perform, run

SMALL = replace(PLAIN, memory=128 << 20, processes=64, file_size=8 << 20, temporary_size=16 << 20)
SECRET = b"not for sandboxes"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sandboxes"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the host that no sandbox may read or change."""
    path = tmp_path / "secret"
    path.write_bytes(SECRET)
    return path


@pytest.fixture
async def runtimes(docker_engine: Engine, folder: Path) -> AsyncIterator[DockerRuntimes]:
    async with docker_runtimes(docker_engine, folder, SMALL) as runtimes, asyncio.timeout(60):
        yield runtimes


@pytest.fixture
async def runtime(runtimes: DockerRuntimes) -> AsyncIterator[Runtime]:
    async with opened(runtimes) as runtime:
        yield runtime


async def test_it_runs_as_an_unprivileged_user_without_capabilities(runtime: Runtime) -> None:
    done = await run(runtime, 0, "id -u; grep -hE '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status")
    uid, *powers = done.output.replace("\t", " ").splitlines()
    assert int(uid) == (os.geteuid() or 10_001)
    assert set(powers) == {"CapEff: 0000000000000000", "CapBnd: 0000000000000000", "NoNewPrivs: 1", "Seccomp: 2"}


async def test_what_takes_power_is_refused(runtime: Runtime) -> None:
    attempts = [
        "mount -t tmpfs none /tmp",
        "mount --bind / /tmp",
        "umount /proc/sys",
        "unshare --user --map-root-user true",
        "unshare --mount true",
        "mknod /tmp/disk b 8 0",
        "chroot / true",
        "chown 0 /workspace",
        "touch /usr/bin/x",
        "echo x >> /etc/passwd",
        "echo 1 > /proc/sys/kernel/panic",
        "echo c > /proc/sysrq-trigger",
        "echo 1 > /sys/kernel/mm/ksm/run",
        "mkdir /sys/fs/cgroup/mine || mkdir /sys/fs/cgroup/memory/mine",
        "head -c 1 /proc/kcore",
        "dmesg",
        "hostname owned",
        "date -s 2000-01-01",
        "iptables -L",
        "ls /var/run/docker.sock",
        "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)'",
        "python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'",
    ]
    script = "\n".join(
        f"if ( {attempt} ) >/dev/null 2>&1; then echo {number}; fi" for number, attempt in enumerate(attempts)
    )
    worked = (await run(runtime, 0, script)).output.split()
    assert [attempts[int(number)] for number in worked] == []


async def test_it_sees_and_traces_no_process_but_its_own(runtime: Runtime) -> None:
    trace = f"import ctypes; print(ctypes.CDLL(None).ptrace(16, {os.getpid()}, 0, 0))"
    done = await run(runtime, 0, f"python3 -c '{trace}'; ls /proc | grep -c '^[0-9]'")
    traced, processes = done.output.split()
    assert traced == "-1"
    assert int(processes) < 12


async def test_it_finds_no_device_but_the_harmless_ones(runtime: Runtime) -> None:
    done = await run(runtime, 0, "find /dev -type b -o -type c")
    harmless = {"console", "full", "null", "ptmx", "random", "tty", "urandom", "zero"}
    assert {Path(name).name for name in done.output.split() if not name.startswith("/dev/pts/")} <= harmless


async def test_without_a_network_there_is_none(runtime: Runtime) -> None:
    done = await run(runtime, 0, "ls /sys/class/net; tail -n +2 /proc/net/route")
    assert done.output.split() == ["lo"]


async def test_a_fork_bomb_stops_at_its_limit(runtime: Runtime) -> None:
    done = await perform(runtime, 0, RunCommand(command="bomb() { bomb | bomb & }; bomb; sleep 60", timeout=1.0))
    assert done.ended == "timeout"
    assert (await run(runtime, 1, "echo on")).output == "on\n"


async def test_a_memory_bomb_ends_itself_only(runtime: Runtime) -> None:
    done = await run(runtime, 0, "colour=blue; python3 -c 'x = bytes(range(256)) * (1 << 24)'")
    assert done.exit_code == 137
    assert (await run(runtime, 1, "echo $colour")).output == "blue\n"


@pytest.mark.parametrize("place", ["/workspace", "/tmp", "~"])
async def test_no_file_grows_to_ten_gigabytes(runtime: Runtime, place: str) -> None:
    grow = "head -c 10G /dev/zero > big; truncate -s 10G sparse; fallocate -l 10G whole"
    await run(runtime, 0, f"cd {place}; {grow}")
    done = await run(runtime, 1, f"stat -c %s {place}/*")
    assert max(int(size) for size in done.output.split()) <= SMALL.file_size


async def test_a_workspace_does_not_grow_beyond_its_limit_and_can_be_emptied(
    docker_engine: Engine, folder: Path
) -> None:
    settings = replace(PLAIN, workspace_size=8 << 20, look_every=0.1)
    async with docker_runtimes(docker_engine, folder, settings) as runtimes, opened(runtimes) as runtime:
        fill = "for i in {1..1000}; do head -c 1M /dev/zero > $i; sleep 0.05; done"
        done = await run(runtime, 0, fill)
        assert done.ended == "killed"
        assert "holds more than it may" in done.output
        assert (await run(runtime, 1, "rm -rf *; sleep 0.3; ls")).ended == "exit"
        assert (await run(runtime, 2, "sleep 0.3; echo on")).output == "on\n"


@pytest.mark.parametrize("place", ["/workspace", "~", "/run/executor"])
async def test_what_was_left_running_cannot_fill_the_disk_while_no_command_runs(
    docker_engine: Engine, folder: Path, place: str
) -> None:
    settings = replace(PLAIN, workspace_size=8 << 20, look_every=0.1)
    async with docker_runtimes(docker_engine, folder, settings) as runtimes, opened(runtimes) as runtime:
        fill = f"cd {place}; (for i in {{1..1000}}; do head -c 1M /dev/zero > fill$i; sleep 0.05; done) &"
        assert (await run(runtime, 0, fill)).ended == "exit"
        await comes_to(docker_engine, runtimes)
        done = await run(runtime, 1, f"cd {place}; ls fill*; sleep 0.5; ls fill*; rm fill*; sleep 0.5; ls fill*")
        assert done.ended == "exit"
        files, told = done.output.split("ls: cannot access")
        assert len(files.split()) == 2 * len(set(files.split()))
        assert "holds more than it may" in told
        done = await run(runtime, 2, "sleep 0.3; echo on")
        assert (done.output, done.ended) == ("on\n", "exit")


async def test_an_executor_that_is_killed_from_inside_is_told_and_replaced(runtime: Runtime) -> None:
    with pytest.raises(RuntimeUnavailable, match="ended"):
        await run(runtime, 0, "kill -9 $(pgrep -f executor.pyz)")
    assert (await run(runtime, 1, "echo on")).output == "on\n"


@pytest.mark.parametrize("path", ["link", "root/etc/passwd", "up/up/up/secret", "below/link"])
async def test_no_link_leads_a_file_call_out(runtime: Runtime, secret: Path, path: str) -> None:
    await run(
        runtime, 0, f"ln -s {secret} link; ln -s / root; ln -s .. up; mkdir below; ln -s ../../../secret below/link"
    )
    with pytest.raises(RuntimeFailure):
        await runtime.files.read(path)
    with pytest.raises((PathRefused, FileProblem)):
        await runtime.files.write(path, b"mine")
    assert secret.read_bytes() == SECRET


async def test_a_link_that_is_moved_about_leads_no_file_call_out(runtime: Runtime, secret: Path) -> None:
    swap = "while :; do mv -T a c; mv -T b a; mv -T a b; mv -T c a; done"
    swap = f"mkdir a; echo mine > a/secret; ln -s {secret.parent} b; echo begun; {swap}"
    hearing = Hearing()
    swapping = asyncio.create_task(run(runtime, 0, swap, hearing))
    await hearing.hears("begun\n")
    found = set()
    for _ in range(300):
        with contextlib.suppress(RuntimeFailure):
            found.add(await runtime.files.read("a/secret"))
            await runtime.files.write("a/written", b"x")
    await runtime.interrupt(key(0))
    await swapping
    assert found <= {b"mine\n"}  # it may never stand where it is looked for
    assert not (secret.parent / "written").exists()


@pytest.mark.parametrize("name", ["term", "term.lock", "term.new", "journal", "executor.sock", "starting", "running"])
@pytest.mark.parametrize("bait", ["link", "pipe", "folder"])
async def test_what_it_puts_in_the_way_of_the_server_neither_misleads_nor_holds_it(
    docker_engine: Engine, runtimes: DockerRuntimes, secret: Path, name: str, bait: str
) -> None:
    lay = {"link": f"ln -s {secret} {name}", "pipe": f"mkfifo {name}", "folder": f"mkdir {name}"}[bait]
    async with opened(runtimes) as runtime:
        with pytest.raises(RuntimeUnavailable):
            await run(runtime, 0, f"cd /run/executor; rm -f {name}; {lay}; kill -9 $(pgrep -f executor.pyz)")
    async with asyncio.timeout(5), opened(runtimes, term=2) as runtime:
        for number in (0, 1):
            with contextlib.suppress(RuntimeUnavailable):
                await runtime.inquire(key(number))
        await runtimes.discard(SID)
    assert secret.read_bytes() == SECRET
    assert containers(docker_engine, runtimes) == []


async def test_a_workspace_can_be_deleted_however_deep_and_closed_it_is(runtimes: DockerRuntimes, folder: Path) -> None:
    deep = 'for _ in range(1500): os.mkdir("d"); os.chdir("d")'
    async with opened(runtimes) as runtime:
        await runtime.files.write("deep.py", f'import os\n{deep}\nos.chmod(".", 0)\n'.encode())
        await run(runtime, 0, "python3 deep.py; mkdir closed; touch closed/a; chmod 0 closed; ln -s / link")
    await runtimes.discard(SID)
    assert not (folder / folder_name(SID)).exists()
    assert Path("/etc/passwd").exists()
