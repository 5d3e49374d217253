"""Which addresses a workspace may begin with."""

import pytest

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.repository import repository


@pytest.mark.parametrize(
    ("name", "provider", "url"),
    [
        ("octo/hello", None, "https://github.com/octo/hello.git"),
        ("octo/hello.git", "github", "https://github.com/octo/hello.git"),
        ("group/below/name", "gitlab", "https://gitlab.com/group/below/name.git"),
        ("a/b", "bitbucket", "https://bitbucket.org/a/b.git"),
        ("https://example.org/x.git", None, "https://example.org/x.git"),
        ("ssh://git@example.org:22/x", None, "ssh://git@example.org:22/x"),
        ("git@example.org:a/b.git", None, "ssh://git@example.org/a/b.git"),
        ("git://example.org/x", None, "git://example.org/x"),
        ("file:///srv/x.git", None, "file:///srv/x.git"),
    ],
)
def test_an_address_is_taken(name: str, provider: str | None, url: str) -> None:
    found = repository(name, provider, "main")
    assert (found.name, found.url, found.branch, found.provider) == (name, url, "main", provider)
    assert found.local == url.startswith("file")


@pytest.mark.parametrize(
    "name",
    [
        *("hello", "../x", "a/..", "/etc", "-u/x", "--upload-pack=x", "a b/c", "a\n/b", "x" * 3000, "ext::sh -c id"),
        *("http://example.org/x", "ftp://example.org/x", "https://", "https:///x", "https://example.org/"),
        *("https://token@example.org/x", "https://a:b@example.org/x", "ssh://a:b@example.org/x"),
        *("ssh://-oProxyCommand=x/y", "ssh://-x@h/y", "file://host/x", "file:x", "https://[::1/x", "https://h:99999/x"),
    ],
)
def test_an_address_that_could_be_misused_is_refused(name: str) -> None:
    with pytest.raises(BadInput) as refused:
        repository(name)
    assert refused.value.field == "repository"
    assert "token@" not in refused.value.message


@pytest.mark.parametrize(
    "branch", ["-x", "a b", "a..b", "/a", "a/", "a//b", "a.lock", "a~1", "@{u}", "a\x00", "x" * 300]
)
def test_what_is_no_branch_is_refused(branch: str) -> None:
    with pytest.raises(BadInput) as refused:
        repository("a/b", None, branch)
    assert refused.value.field == "selected_branch"


@pytest.mark.parametrize("branch", ["main", "feature/x-1", "v1.0", "ümlaut", "a@b", ""])
def test_branches_are_taken(branch: str) -> None:
    assert repository("a/b", None, branch).branch == (branch or None)


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(BadInput) as refused:
        repository("a/b", "sourceforge")
    assert refused.value.field == "git_provider"
