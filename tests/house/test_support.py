"""The index of tests/support names every file that tests are built from."""

import re

from tests.house.sources import ROOT

SUPPORT = ROOT / "tests" / "support"
USED_BY_OTHERS_ONLY = {"docker_daemon", "docker_leftovers", "docker_netns", "docker_prepare", "docker_server"}
USED_BY_OTHERS_ONLY |= {"task_reporting_server"}
"""Files that no test imports, but others of the folder do."""


def test_the_index_names_every_file() -> None:
    named = set(re.findall(r"`(\w+)`", (SUPPORT / "README.md").read_text(encoding="utf-8")))
    files = {path.stem for path in SUPPORT.glob("*.py")} - {"__init__"}
    assert files - named - USED_BY_OTHERS_ONLY == set()
