"""Which base paths there are."""

import pytest
from pydantic import ValidationError

from openhands_sessions.config.config import ServerSection


@pytest.mark.parametrize("given", ["/agents", "agents", "/agents/", "agents//"])
def test_slashes_before_and_behind_are_put_right(given: str) -> None:
    assert ServerSection(base_path=given).base_path == "/agents"


@pytest.mark.parametrize("given", ["", "/", "//"])
def test_no_path_is_none(given: str) -> None:
    assert ServerSection(base_path=given).base_path == ""


def test_a_path_may_have_parts() -> None:
    assert ServerSection(base_path="team-1/agents_v2.0").base_path == "/team-1/agents_v2.0"


@pytest.mark.parametrize(
    "given", ["/a//b", "/a/../b", "/./a", "/a b", "/a?b", "/a#b", "/a%2fb", "https://host/a", "/ä", "/a\n"]
)
def test_what_is_no_path_is_refused(given: str) -> None:
    with pytest.raises(ValidationError):
        ServerSection(base_path=given)
