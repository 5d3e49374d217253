"""What the Makefile tells its user."""

import asyncio
import os
from pathlib import Path

ROOT = Path(__file__).parents[2]


async def made(*words: str, **variables: str) -> tuple[int, str]:
    program = await asyncio.create_subprocess_exec(
        *("make", "--no-print-directory", *words),
        cwd=ROOT,
        env=os.environ | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await program.communicate()
    assert program.returncode is not None
    return program.returncode, out.decode()


async def test_an_image_of_the_server_that_cannot_be_built_says_what_it_needs(tmp_path: Path) -> None:
    code, told = await made("server-image", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert code
    assert "needs a Docker engine, and fetches packages of Debian and of PyPI" in told
    assert "make wheels" in told


async def test_every_target_is_explained() -> None:
    code, told = await made("help")
    assert code == 0
    listed = {line.split()[1] for line in told.splitlines()}
    [phony] = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY:")]
    assert listed == set(phony.split()[1:]) - {"help"}
