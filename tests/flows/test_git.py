"""A conversation's repository, with real git in the sandbox: cloned or made, and what has changed in it."""

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients

LOCAL = {"OHS_RUNTIME__LOCAL_REPOSITORIES": "true"}
IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")

MESSAGE = "Not a git repository"
NO_REPOSITORY = {"status": "error", "code": "no_repository"} | dict.fromkeys(("message", "detail", "error"), MESSAGE)


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *IDENTITY, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A bare repository with two branches."""
    made = tmp_path / "made"
    made.mkdir()
    git(made, "init", "-q")
    (made / "a.txt").write_text("one\ntwo\nthree\nfour\n")
    (made / "gone").write_text("gone\n")
    (made / "old name").write_text("a long text that stays the same\n" * 5)
    (made / "AGENTS.md").write_text("Be brief.\n")
    git(made, "add", ".")
    git(made, "commit", "-qm", "first")
    git(made, "checkout", "-qb", "feature/x")
    (made / "feature").write_text("x")
    git(made, "add", ".")
    git(made, "commit", "-qm", "second")
    git(made, "checkout", "-q", "main")
    git(tmp_path, "clone", "-q", "--bare", str(made), "origin.git")
    return tmp_path / "origin.git"


async def test_a_repository_is_cloned_once_and_its_changes_are_told(data_dir: Path, origin: Path) -> None:
    async with running_server(data_dir, LOCAL) as server, Clients(server.url) as clients:
        sid = await create(clients, repository=f"file://{origin}", initial_user_msg="$ echo begun")
        client = clients.protocol2(sid)
        await client.connect()
        await client.until_state("awaiting_user_input")
        [cloning] = [event for event in client.events if event.get("args", {}).get("hidden")]
        assert (cloning["source"], cloning["message"]) == ("environment", f"Cloning file://{origin}")
        recalled = next(event for event in client.events if event.get("observation") == "recall")
        assert "Be brief." in recalled["extras"]["repo_instructions"]
        shown = await clients.rest.describe(sid)
        assert shown["selected_repository"] == f"file://{origin}"
        workspace = server.workspace(sid)
        assert (workspace / "a.txt").read_text().startswith("one")
        assert await ask(clients, sid, "git/changes") == (200, [])
        change(workspace)
        assert await ask(clients, sid, "git/changes") == (
            200,
            [
                {"path": "a.txt", "status": "M"},
                {"path": "committed", "status": "A"},
                {"path": "gone", "status": "D"},
                {"path": "new\nfolder/ü", "status": "A"},
                {"path": "new name", "status": "R", "old_path": "old name"},
            ],
        )
        gone = {"original": "gone\n", "modified": ""}
        before, after = "one\ntwo\nthree\nfour\n", "one\n2\nthree\nfour\n"
        assert await ask(clients, sid, "git/diff", path="a.txt") == (200, {"original": before, "modified": after})
        assert await ask(clients, sid, "git/diff", path="/workspace/gone") == (200, gone)
        assert await ask(clients, sid, "git/diff", path="new\nfolder/ü") == (200, {"original": "", "modified": "ü"})
        text = "a long text that stays the same\n" * 5
        assert await ask(clients, sid, "git/diff", path="new name") == (200, {"original": text, "modified": text})
        for path, status in (
            ("none", 404),
            ("", 422),
            ("../x", 422),
            ("/etc/passwd", 422),
            ("x\0", 422),
            (".git", 404),
        ):
            assert (await ask(clients, sid, "git/diff", path=path))[0] == status, path


async def test_git_is_asked_while_a_command_runs_and_runs_nothing_of_the_repository(
    data_dir: Path, origin: Path
) -> None:
    async with running_server(data_dir, LOCAL) as server, Clients(server.url) as clients:
        sid = await create(clients, repository=f"file://{origin}", selected_branch="feature/x")
        client = clients.protocol2(sid)
        await client.connect()
        await client.until_state("awaiting_user_input")
        workspace = server.workspace(sid)
        assert git(workspace, "branch", "--show-current") == "feature/x"
        hook = "#!/bin/sh\ntouch $PWD/was_run\n"
        (workspace / "hook").write_text(hook)
        (workspace / "hook").chmod(0o755)
        for name, value in (
            ("core.fsmonitor", str(workspace / "hook")),
            ("core.hooksPath", str(workspace)),
            ("diff.external", str(workspace / "hook")),
        ):
            git(workspace, "config", name, value)
        said = await client.say("$ echo begun > begun; sleep 20")
        async with asyncio.timeout(10):
            while not (workspace / "begun").exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # nothing tells us but the folder itself
        async with asyncio.timeout(10):
            status, told = await ask(clients, sid, "git/changes")
        assert (status, [each["path"] for each in told]) == (200, ["begun", "hook"])
        assert not (workspace / "was_run").exists()
        await client.order("stopped")
        await client.until_state("stopped", after=said)


async def test_a_folder_that_is_no_repository_says_so(server: Server, clients: Clients) -> None:
    sid = await clients.rest.create()
    none = (404, NO_REPOSITORY)
    assert await ask(clients, sid, "git/changes") == none
    assert await ask(clients, sid, "git/diff", path="a") == none
    # A repository around the workspace is somebody else's.
    git(server.data_dir.parent, "init", "-q")
    assert await ask(clients, sid, "git/changes") == none
    (server.workspace(sid) / ".git").mkdir()
    assert await ask(clients, sid, "git/changes") == none
    made = await create(clients, init_repository=True, selected_branch="trunk")
    (server.workspace(made) / "a").write_text("new") if await settled(clients, made) else None
    assert git(server.workspace(made), "branch", "--show-current") == "trunk"
    assert await ask(clients, made, "git/changes") == (200, [{"path": "a", "status": "A"}])
    assert await ask(clients, made, "git/diff", path="a") == (200, {"original": "", "modified": "new"})


async def test_repositories_in_folders_and_submodules_tell_their_own_changes(
    server: Server, clients: Clients, origin: Path
) -> None:
    sid = await clients.rest.create()
    await settled(clients, sid)
    workspace = server.workspace(sid)
    for folder in ("one", "deep/er/two", ".cache/tool", "node_modules/x"):
        (workspace / folder).parent.mkdir(parents=True, exist_ok=True)
        git(workspace, "clone", "-q", str(origin), folder)
        (workspace / folder / "new").write_text("new")
    one, two = workspace / "one", workspace / "deep/er/two"
    git(one, "-c", "protocol.file.allow=always", "submodule", "add", "-q", "-b", "feature/x", str(origin), "sub")
    git(one, "commit", "-qm", "with a submodule")
    git(one, "push", "-q", "origin", "main")
    git(one / "sub", "mv", "old name", "renamed")
    git(one / "sub", "commit", "-qm", "a new commit")
    (one / "sub" / "feature").write_text("y")
    git(one, "init", "-q", "inner")
    (one / "inner" / "a").write_text("a")
    (two / "empty" / ".git").mkdir(parents=True)
    (two / "gone").unlink()
    (workspace / "loose").write_text("of no repository")
    assert await ask(clients, sid, "git/changes") == (
        200,
        [
            {"path": "deep/er/two/gone", "status": "D"},
            {"path": "deep/er/two/new", "status": "A"},
            {"path": "one/inner/a", "status": "A"},
            {"path": "one/new", "status": "A"},
            {"path": "one/sub/feature", "status": "M"},
            {"path": "one/sub/renamed", "status": "R", "old_path": "one/sub/old name"},
        ],
    )
    text = "a long text that stays the same\n" * 5
    for path, original, modified in (
        ("one/sub/feature", "x", "y"),
        ("one/sub/renamed", text, text),
        ("one/inner/a", "", "a"),
        ("/workspace/deep/er/two/gone", "gone\n", ""),
    ):
        told = {"original": original, "modified": modified}
        assert await ask(clients, sid, "git/diff", path=path) == (200, told), path
    assert (await ask(clients, sid, "git/diff", path="one/sub/none"))[0] == 404
    assert (await ask(clients, sid, "git/diff", path="loose")) == (404, NO_REPOSITORY)


async def test_what_may_not_be_cloned_is_refused_and_what_cannot_be_is_told(clients: Clients, origin: Path) -> None:
    for body, field in (
        ({"repository": f"file://{origin}"}, "repository"),
        ({"repository": "ext::sh -c id"}, "repository"),
        ({"repository": "a/b", "selected_branch": "-x"}, "selected_branch"),
        ({"repository": "a/b", "git_provider": "x"}, "git_provider"),
    ):
        status, answer = await clients.rest.ask("POST", "/api/conversations", body)
        assert (status, answer["field"]) == (422, field), answer
    sid = await create(clients, repository="git://127.0.0.1:9/x")
    await settled(clients, sid)
    shown = await clients.rest.describe(sid)
    assert (shown["status"], shown["runtime_status"]) == ("RUNNING", "STATUS$ERROR")
    assert "the repository could not be set up" in shown["session"]["problem"]


def change(workspace: Path) -> None:
    """One change of each kind, one of them committed."""
    (workspace / "a.txt").write_text("one\n2\nthree\nfour\n")
    (workspace / "gone").unlink()
    git(workspace, "mv", "old name", "new name")
    (workspace / "committed").write_text("x")
    git(workspace, "add", "committed")
    git(workspace, "commit", "-qm", "third", "committed")
    (workspace / "new\nfolder").mkdir()
    (workspace / "new\nfolder" / "ü").write_text("ü")


async def create(clients: Clients, **body: Any) -> str:
    status, answer = await clients.rest.ask("POST", "/api/conversations", body)
    assert status == 200, answer
    sid: str = answer["conversation_id"]
    return sid


async def settled(clients: Clients, sid: str) -> bool:
    """Wait until the session is set up, or has failed to be."""
    async with asyncio.timeout(20):
        while (await clients.rest.describe(sid))["status"] == "STARTING":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return True


async def ask(clients: Clients, sid: str, call: str, **query: str) -> tuple[int, Any]:
    async with clients.rest.http.get(f"{clients.rest.url}/api/conversations/{sid}/{call}", params=query) as got:
        return got.status, await got.json()
