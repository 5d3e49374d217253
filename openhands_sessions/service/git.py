"""What has changed in a workspace's repositories, as git inside the sandbox tells it."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

from openhands_sessions.core.errors import NoRepository, NotFound, NotText, RuntimeUnavailable, TooLarge
from openhands_sessions.ports.runtime import WORKSPACE, Query, Runtime
from openhands_sessions.ports.workspaces import FileChange, FileDiff

LARGEST_LIST = 1 << 20
LARGEST_ORIGINAL = 4 << 20
MOST_CHANGES = 5_000
"""Changes that are told; a client shows no more."""
_LIMIT = 15.0
_STATUS = {"A": "A", "C": "A", "D": "D", "R": "R", "U": "U"}

_GIT = """
top=$(pwd -P)
export GIT_CEILING_DIRECTORIES="$(dirname "$top")" GIT_TERMINAL_PROMPT=0 LC_ALL=C
git() { command git --no-optional-locks -c core.fsmonitor=false -c core.hooksPath=/dev/null -c core.quotePath=false \
  -c "safe.directory=*" -c diff.external= -c submodule.recurse=false "$@" 2>/dev/null; }
differing() { git diff --name-status -z -M --no-ext-diff --no-textconv --ignore-submodules=dirty --relative "$@" -- .; }
base() {
  local here=$(pwd -P) branch=$(git symbolic-ref -q --short HEAD)
  local super=$(git rev-parse --show-superproject-working-tree)
  case $super/ in "$top"/*)
    git rev-parse -q --verify "$(cd "$super" && git rev-parse "$(base):${here#"$super"/}")^{commit}" && return ;;
  esac
  git rev-parse -q --verify "refs/remotes/origin/$branch^{commit}" || git merge-base HEAD refs/remotes/origin/HEAD ||
    git rev-parse -q --verify "HEAD^{commit}" || git hash-object -t tree /dev/null
}
"""
"""`base` prints what a repository began with: for a submodule what the repository around it has recorded, then the
branch as it was fetched, then the last commit."""
_CHANGES = (
    _GIT
    + """
count=0
while IFS= read -r -d '' place && [ $count -lt 50 ]; do
  cd "$top/${place%.git}" && [ "$(git rev-parse --show-toplevel)" = "$(pwd -P)" ] || continue
  place=${place#./} count=$((count + 1))
  printf '%s\\0' "${place%.git}"
  differing "$(base)"
  printf '\\0'
  git ls-files -z --others --exclude-standard
  printf '\\0'
done < <(find . -maxdepth 6 \\( -name node_modules -o -name '.?*' ! -name .git \\) -prune -o \\
  -name .git -print0 -prune | sort -z)
[ $count -gt 0 ] || exit 3
exit 0
"""
)
"""For each repository: its folder, changes, an empty field, new files, an empty field. Hidden folders are left to the
tools that keep repositories there."""
_ORIGINAL = (
    _GIT
    + """
folder=./$1
while folder=${folder%/*}; [ "$folder" != . ] && [ ! -e "$folder/.git" ]; do :; done
name=./$1 name=${name#"$folder"/} old=
cd "$folder" 2>/dev/null || exit 4
git rev-parse --is-inside-work-tree >/dev/null || exit 3
from=$(base)
if ! git cat-file -e "$from:./$name"; then
  while IFS= read -r -d '' _ && IFS= read -r -d '' old && IFS= read -r -d '' new && [ "$new" != "$name" ]; do
    old=
  done < <(differing --diff-filter=R "$from")
  [ -n "$old" ] || exit 4
  name=$old
fi
git cat-file blob "$from:./$name" || exit 4
"""
)
"""A renamed file is read by its old name."""


async def changes(runtime: Runtime) -> Sequence[FileChange]:
    """What differs from the branch as it was fetched, or from the last commit where nothing was, in the repositories of
    the workspace and its folders. Raises NoRepository, RuntimeUnavailable."""
    listed = await _asked(runtime, _CHANGES, limit=LARGEST_LIST)
    fields = iter(listed.decode("utf-8", "replace").split("\0")[:-1])
    found: dict[str, FileChange] = {}
    folders = []
    for folder in fields:
        folders.append(folder)
        for change in (*_tracked(fields), *(FileChange(path, "A") for path in iter(partial(next, fields, ""), ""))):
            path, old = folder + change.path, change.old_path and folder + change.old_path
            if path not in found or found[path].status != "U":
                found[path] = FileChange(path, change.status, old)
    # A repository in another one is told by its own files.
    told = (change for path, change in sorted(found.items()) if f"{path.rstrip('/')}/" not in folders)
    return list(islice(told, MOST_CHANGES))


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
        raise TooLarge(f"the file was larger than {LARGEST_ORIGINAL} bytes", LARGEST_ORIGINAL)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise NotText("the file was no text") from None


async def _asked(runtime: Runtime, script: str, *words: str, limit: int) -> bytes:
    """What a script prints, cut at the limit."""
    if not any(name == ".git" or name.endswith("/") for name in await runtime.files.list()):
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


def _tracked(fields: Iterator[str]) -> Iterator[FileChange]:
    """`M`, a path, `R100`, a path, its new one, … up to an empty field."""
    for status in iter(partial(next, fields, ""), ""):
        old, path = None, next(fields, "")
        if status[:1] in ("R", "C"):
            old, path = path, next(fields, "")
        if path:
            yield FileChange(path, _STATUS.get(status[:1], "M"), old if status[:1] == "R" else None)
