"""A browser, a server that serves it a page, and a model."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext

from tests.support.browser import Chromium, chromium
from tests.support.system_packages import Missing, unavailable


@pytest.fixture(scope="session")
def program() -> Chromium:
    """Where there can be no Chromium, the test is skipped; in CI it fails."""
    try:
        return chromium()
    except Missing as problem:
        unavailable(problem)


@pytest.fixture
async def browser(program: Chromium, tmp_path: Path) -> AsyncIterator[BrowserContext]:
    async with program.open(tmp_path / "profile") as opened:
        yield opened


@pytest.fixture
def client_dir(program: Chromium, tmp_path: Path) -> Path:
    """A folder with the page, for servers to serve."""
    return program.page(tmp_path)
