"""A real nginx with the configuration of a page of the docs, and a certificate made for it, on loopback."""

import asyncio
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import aiohttp

from tests.support.ports import free_port
from tests.support.system_packages import Missing, install

NAME = "agents.example.org"
_CONFIGURATION = """daemon off;
worker_processes 1;
{user}
pid nginx.pid;
error_log stderr warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path a; uwsgi_temp_path b; scgi_temp_path c;
{page}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """Where it listens: `plain` without TLS, `url` with it. `authority` is the file that programs are to trust."""

    plain: str
    url: str
    authority: Path

    def trusted(self) -> aiohttp.TCPConnector:
        """For sessions that trust the certificate."""
        return aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=self.authority))


def find_nginx() -> str:
    """The program, installed where it is missing and this may be done. Raises Missing."""
    install({"nginx": "nginx-light", "openssl": "openssl"})
    program = shutil.which("nginx")
    if program is None:
        raise Missing("no nginx, although its package is installed")
    return program


@asynccontextmanager
async def nginx(
    program: str, page: str, folder: Path, port: int, replaced: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Nginx]:
    """Run it with this configuration of a page, in which `port` takes the place of 3000, until the end of the block."""
    folder.mkdir()
    plain, secure = free_port(), free_port()
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    _certify(key, certificate)
    here = {
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen 443 ssl;": f"listen 127.0.0.1:{secure} ssl;",
        "https://$host$request_uri": f"https://$host:{secure}$request_uri",
        "127.0.0.1:3000": f"127.0.0.1:{port}",
        **replaced,
    }
    for told, actual in here.items():
        page = page.replace(told, actual)
    page = re.sub(r"(ssl_certificate_key\s+)[^;]+", rf"\g<1>{key}", page)
    page = re.sub(r"(ssl_certificate\s+)[^;]+", rf"\g<1>{certificate}", page)
    user = "user root;" if folder.owner() == "root" else ""  # the folders of tests are for one user alone
    (folder / "nginx.conf").write_text(_CONFIGURATION.format(page=page, user=user))
    process = await asyncio.create_subprocess_exec(
        *(program, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"), stderr=asyncio.subprocess.PIPE
    )
    try:
        await _listens(process, plain)
        yield Nginx(f"http://localhost:{plain}", f"https://localhost:{secure}", certificate)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


def _certify(key: Path, certificate: Path) -> None:
    names = f"subjectAltName=DNS:localhost,DNS:{NAME}"
    words = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2"]
    subprocess.run(
        ["openssl", "req", *words, "-subj", "/CN=localhost", "-addext", names, "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )


async def _listens(process: asyncio.subprocess.Process, port: int) -> None:
    """Wait until it takes connections; it says nothing when it does."""
    async with asyncio.timeout(20):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
    assert process.stderr is not None
    raise AssertionError((await process.stderr.read()).decode())


def prepare() -> None:
    """Install what takes longer than a test may; the second time there is nothing to do."""
    try:
        print(f"Proxy tests use {find_nginx()}.")
    except Missing as problem:
        print(f"Proxy tests are skipped: {problem}.")


if __name__ == "__main__":
    prepare()
