"""Commands that leave the shell as it was: they share one."""

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from openhands_sessions.adapters.runtimes.local.runtimes import LocalRuntimes
from openhands_sessions.ports.runtime import Runtime
from tests.support.sandboxes import SID, opened, run

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Runtime]:
    runtimes = LocalRuntimes(tmp_path_factory.mktemp("sandboxes"))
    try:
        async with opened(runtimes) as runtime:
            yield runtime
    finally:
        await runtimes.discard(SID)


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    """Of actions, each used once."""
    return itertools.count()


@pytest.mark.parametrize(
    ("command", "output", "exit_code"),
    [
        ("echo one\necho two\n", "one\ntwo\n", 0),
        ("for i in 1 2; do\n  echo $i\ndone", "1\n2\n", 0),
        ("cat <<END\nhere $((1 + 1))\nEND", "here 2\n", 0),
        ("cat <<'END'\n$HOME 'x\nEND\nfalse", "$HOME 'x\n", 1),
        ("echo 'unclosed", "bash: unexpected EOF while looking for matching `''\n", 2),
        ("echo one\nif true; then", "one\nbash: syntax error: unexpected end of file\n", 2),
        ("(exit 7)", "", 7),
        ("return 5", "bash: return: can only `return' from a function or sourced script\n", 2),
        ("", "", 0),
        ("# only a comment", "", 0),
        ("echo no newline at the end | tr -d '\\n'", "no newline at the end", 0),
        ("printf 'a\\r\\nb\\tc\\033[1md'", "a\nb\tcd", 0),
        ("printf 'a\\xff\\xe2\\x82'; printf 'b\\xe2\\x82\\xac\\0c'", "a\ufffd\ufffdb€c", 0),
        ("echo ü; echo ü | wc -m", "ü\n2\n", 0),
        ("tty -s && test -t 0 -a -t 1 -a -t 2 && echo terminal", "terminal\n", 0),
        ("git --version > /dev/null; echo $PAGER $GIT_PAGER $TERM", "cat cat dumb\n", 0),
        ("ps -o comm= --ppid $$ | sort -u", "ps\nsort\n", 0),
        ("type builtin; alias", "builtin is a shell builtin\n", 0),
    ],
)
async def test_a_command_is_what_a_terminal_would_make_of_it(
    shared: Runtime, numbers: Iterator[int], command: str, output: str, exit_code: int
) -> None:
    done = await run(shared, next(numbers), command)
    assert (done.output, done.exit_code, done.ended) == (output, exit_code, "exit")
