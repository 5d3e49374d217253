"""Names that people send with their files."""

import pytest

from openhands_sessions.core.errors import BadInput
from openhands_sessions.service.local_workspaces import upload_name


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("a.txt", "a.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a b.txt", "a b.txt"),
        ("/workspace/ä", "ä"),
        (".env", ".env"),
        ("..\\x", "x"),
        ("C:doc.txt", "doc.txt"),
        ("\\\\server\\share\\x.txt", "x.txt"),
        ("a.txt:stream", "a.txt_stream"),
        ("a.", "a_"),
        ("a.txt ", "a.txt"),
        ("a. .", "a___"),
        ("NUL", "_NUL"),
        ("com1.tar.gz", "_com1.tar.gz"),
        ("aux .txt", "_aux .txt"),
        ("lpt³", "_lpt³"),
        ("conso.le", "conso.le"),
        ("com10", "com10"),
        ("a\x00\x1b[31m\n\u202eb", "a__[31m__b"),
    ],
)
def test_only_the_last_part_of_a_name_counts_and_it_steers_nothing(sent: str, name: str) -> None:
    assert upload_name(sent) == name


@pytest.mark.parametrize("sent", ["", "/", "..", "a/..", "\\.", " ", "ä" * 101])
def test_what_is_no_name_is_refused(sent: str) -> None:
    with pytest.raises(BadInput, match="name"):
        upload_name(sent)
