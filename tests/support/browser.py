"""A real browser with a page that does what the V0 client does: Debian's Chromium, and the real socket.io-client.

`python -m tests.support.browser` installs both ahead of the tests.
"""

import hashlib
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import BrowserContext, async_playwright

from tests.support.system_packages import CACHE, Missing, install, locked, plain_environment

PAGE = Path(__file__).parents[1] / "browser" / "page"
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_LIBRARY = Path("node_modules/socket.io-client/dist/socket.io.esm.min.js")
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Whatever asks for another host all the same is told that there is none.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@dataclass(frozen=True)
class Chromium:
    """The program, and the library that its page loads."""

    program: str
    library: Path

    def page(self, folder: Path) -> Path:
        """Put the page together below a folder; what `server.client_dir` is to name."""
        assets = folder / "client" / "assets"
        assets.mkdir(parents=True)
        shutil.copy(PAGE / "index.html", assets.parent)
        shutil.copy(PAGE / "client.js", assets)
        shutil.copy(self.library, assets)
        return assets.parent

    @asynccontextmanager
    async def open(self, profile: Path) -> AsyncIterator[BrowserContext]:
        """A browser with an empty profile, until the end of the block. An error that no script of a page has caught
        fails the test."""
        uncaught: list[str] = []
        async with async_playwright() as play:
            browser = await play.chromium.launch_persistent_context(
                profile, executable_path=self.program, headless=True, args=_QUIET
            )
            browser.on("weberror", lambda error: uncaught.append(str(error.error)))
            try:
                yield browser
            finally:
                await browser.close()
        assert uncaught == []


def chromium() -> Chromium:
    """Chromium, installed where it is missing and this may be done. Raises Missing."""
    if _program() is None:
        install({"chromium": "chromium"})
    program = _program()
    if program is None:
        raise Missing("no Chromium, although its package is installed")
    return Chromium(program, _socket_io())


def _program() -> str | None:
    return next((found for name in _PROGRAMS if (found := shutil.which(name)) is not None), None)


def _socket_io() -> Path:
    """The library in the version that is locked beside the page."""
    recipe = [PAGE / "package.json", PAGE / "package-lock.json"]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in recipe)).hexdigest()[:12]
    folder = CACHE / f"page-{digest}"
    with locked(CACHE / "fetching"):
        if not folder.exists():
            _fetch(recipe, folder)
    return folder / _LIBRARY


def _fetch(recipe: list[Path], folder: Path) -> None:
    install({"npm": "npm"})
    unfinished = folder.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for file in recipe:
        shutil.copy(file, unfinished)
    words = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(words, cwd=unfinished, env=plain_environment(), check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise Missing(f"npm cannot install socket.io-client: {done.stderr[-300:]}")
    unfinished.rename(folder)


def prepare() -> None:
    """Install what takes longer than a test may; the second time there is nothing to do."""
    try:
        found = chromium()
        print(f"Browser tests use {found.program} and {found.library.relative_to(CACHE)}.")
    except Missing as problem:
        print(f"Browser tests are skipped: {problem}.")


if __name__ == "__main__":
    prepare()
