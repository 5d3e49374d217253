"""What has changed in a workspace's repository, as git inside the sandbox tells it."""

from collections.abc import Iterator, Sequence

from openhands_sessions.core.errors import NotFound, NotText, RuntimeUnavailable, TooLarge
from openhands_sessions.ports.runtime import WORKSPACE, Query, Runtime
from openhands_sessions.ports.workspaces import FileChange, FileDiff, NoRepository

LARGEST_LIST = 1 << 20
LARGEST_ORIGINAL = 4 << 20
MOST_CHANGES = 5_000
"""Changes that are told; a client shows no more."""
_LIMIT = 15.0
_STATUS = {"A": "A", "C": "A", "D": "D", "R": "R", "U": "U"}

_GIT = """
export GIT_CEILING_DIRECTORIES="$(dirname "$PWD")" GIT_TERMINAL_PROMPT=0 LC_ALL=C
git() { command git --no-optional-locks -c core.fsmonitor=false -c core.hooksPath=/dev/null -c core.quotePath=false \
  -c "safe.directory=*" -c diff.external= -c submodule.recurse=false "$@" 2>/dev/null; }
git rev-parse --is-inside-work-tree >/dev/null || exit 3
branch=$(git symbolic-ref -q --short HEAD)
base=$(git rev-parse -q --verify "refs/remotes/origin/$branch^{commit}") ||
  base=$(git merge-base HEAD refs/remotes/origin/HEAD) ||
  base=$(git rev-parse -q --verify "HEAD^{commit}") ||
  base=$(git hash-object -t tree /dev/null)
"""
_CHANGES = (
    _GIT
    + """
git diff --name-status -z -M --no-ext-diff --no-textconv --ignore-submodules=dirty --relative "$base" -- . || exit 3
printf '\\0'
git ls-files -z --others --exclude-standard
exit 0
"""
)
_ORIGINAL = (
    _GIT
    + """
git cat-file -e "$base:./$1" || exit 4
git cat-file blob "$base:./$1"
"""
)


async def changes(runtime: Runtime) -> Sequence[FileChange]:
    """What differs from the branch as it was fetched, or from the last commit where nothing was. Raises NoRepository,
    RuntimeUnavailable."""
    listed = await _asked(runtime, _CHANGES, limit=LARGEST_LIST)
    text = "\0" + listed.decode("utf-8", "replace")  # so that the mark stands behind a name also where there is none
    tracked, _, untracked = text.partition("\0\0")
    found = dict.fromkeys(untracked.split("\x00")[:-1], "A")
    for path, status in _tracked(iter(tracked.split("\0")[1:])):
        if found.get(path) != "U":
            found[path] = status
    return [FileChange(path, status) for path, status in sorted(found.items())[:MOST_CHANGES]]


async def diff(runtime: Runtime, path: str, modified: str | None) -> FileDiff:
    """`modified` is the file as it is; None where there is none. Raises NoRepository, NotFound, NotText, TooLarge,
    RuntimeUnavailable."""
    original = await _original(runtime, path.removeprefix(f"{WORKSPACE}/"))
    if modified is None and original is None:
        raise NotFound("file", path[:200])
    return FileDiff(original or "", modified or "")


async def _original(runtime: Runtime, path: str) -> str | None:
    try:
        content = await _asked(runtime, _ORIGINAL, path, limit=LARGEST_ORIGINAL)
    except FileNotFoundError:
        return None
    if len(content) >= LARGEST_ORIGINAL:
        raise TooLarge(f"the file was larger than {LARGEST_ORIGINAL} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise NotText("the file was no text") from None


async def _asked(runtime: Runtime, script: str, *words: str, limit: int) -> bytes:
    """What a script prints, cut at the limit."""
    if ".git" not in {name.rstrip("/") for name in await runtime.files.list()}:
        raise NoRepository  # seen without waking the sandbox
    answer = await runtime.query(Query(words=("bash", "-c", script, "git", *words), timeout=_LIMIT, limit=limit))
    match answer.exit_code:
        case 0:
            return answer.output
        case 3:
            raise NoRepository
        case None if len(answer.output) < limit:
            raise RuntimeUnavailable("git did not answer in time; try again")
        case None:
            return answer.output
        case _:
            raise FileNotFoundError(*words)


def _tracked(fields: Iterator[str]) -> Iterator[tuple[str, str]]:
    """`M`, a path, `R100`, a path, its new one, …"""
    for status in fields:
        path = next(fields, None)
        if status[:1] in ("R", "C"):
            path = next(fields, None)
        if path:
            yield path, _STATUS.get(status[:1], "M")
