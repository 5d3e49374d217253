"""What a terminal shows of an output: overwritten, erased, moved, scrolled; in limited memory."""

import tracemalloc

import pytest

from openhands_sessions.executor.capture import OutputCapture

FRAMES = [f"\rfetching {i // 50:3d}% |{'#' * (i // 250):20}| {i}/5000" for i in range(5001)]


def shown(*pieces: str | bytes) -> str:
    capture = OutputCapture(64 << 10, 64 << 10)
    for piece in pieces:
        capture.add(piece.encode() if isinstance(piece, str) else piece)
    return capture.text()[0]


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("10%\r20%\r100%\ndone\n", "100%\ndone\n"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("loading...\r\x1b[Kok\n", "ok\n"),
        ("loading\x1b[2K\rok\n", "ok\n"),
        ("longer\rnew\n", "newger\n"),
        ("secret\b\b\bXX\n", "secXXt\n"),
        ("-\b\\\b|\b/\bdone\n", "done\n"),
        ("\x1b[1;31mred\x1b[0m plain\x1b[38;5;9m!\x1b[m\n", "red plain!\n"),
        ("\x1b]0;title\x07\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n", "link\n"),
        ("one: 1\ntwo: 1\n\x1b[2A\x1b[Kone: 2\n\x1b[Ktwo: 2\n", "one: 2\ntwo: 2\n"),
        ("pull a\npull b\n\x1b[1A\x1b[2Kpulled b\x1b[1B\r", "pull a\npulled b\n"),
        ("ab\x1b[3Dcd\x1b[5Gx\n", "cd  x\n"),
        ("abcdef\x1b[4D\x1b[2P\x1b[1@\n", "ab ef\n"),
        ("one\ntwo\nthree\x1b[2;1H\x1b[Lnew", "one\nnew\ntwo\nthree\n"),
        ("before\n\x1b[H\x1b[2Jafter\n", "after\n"),
        ("a\tb\n\x1b[?25lc\x1b[?25h\n", "a\tb\nc\n"),
        ("x\x1b7yz\x1b8Y\n", "xYz\n"),
        ("日本語\r\x1b[2C本\n", "日本語\n"),
        ("bell\x07 nul\0 del\x7f\n", "bell nul del\n"),
        ("x\x1b[5bx\n", "xxxxxxx\n"),
        ("50%\x1b[0K\r\x1b[0K75%", "75%"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_an_output_is_what_a_terminal_shows(output: str, text: str, size: int) -> None:
    data = output.encode()
    assert shown(*(data[start : start + size] for start in range(0, len(data), size))) == text


@pytest.mark.parametrize("size", [7, 100, 1 << 20])
def test_a_progress_bar_of_thousands_of_frames_is_one_line(size: int) -> None:
    bar = "".join(FRAMES)
    pieces = [bar[start : start + size] for start in range(0, len(bar), size)]
    assert shown("begin\n", *pieces, "\nsaved\n") == f"begin\n{FRAMES[-1][1:]}\nsaved\n"


def test_the_lines_above_a_progress_bar_stay() -> None:
    log = "".join(f"line {number}\n" for number in range(300))
    assert shown(log, "1%\r", "2%\r", "\x1b[K", log) == log + log


def test_a_screen_that_is_painted_again_and_again_leaves_the_lines_above_it() -> None:
    log = "".join(f"line {number}\n" for number in range(300))
    kept = "".join(f"line {number}\n" for number in range(251))
    pages = [piece for number in range(20) for piece in ("\x1b[H\x1b[2J", f"page {number}\n")]
    assert shown(log, *pages) == f"{kept}page 19\n"


def test_a_full_screen_program_leaves_its_last_screen() -> None:
    paint = "\x1b[?1049h\x1b[H\x1b[2J\x1b[1;3Htop\x1b[24;1Hstatus 1\x1b[24;8H2\x1b[K"
    screen = "  top" + "\n" * 23 + "status 2"
    assert shown("before\n", paint) == f"before\n{screen}"
    assert shown("before\n", paint, "\x1b[?1049l", "after\n") == f"before\n{screen}\nafter\n"
    assert shown("before\n", paint, "\x1b[50;1H\n\x1b[?1049l", "after\n") == f"before\n{screen}\nafter\n"


def test_a_long_line_of_a_full_screen_program_is_wrapped() -> None:
    assert shown("\x1b[H\x1b[2J", "x" * 200, "\x1b[3;1Hend") == f"{'x' * 160}\n{'x' * 40}\nend"


def test_the_next_action_gets_what_is_new_on_the_same_screen() -> None:
    first = OutputCapture(1000, 1000)
    first.add(b"log\n\x1b[K10%")
    assert first.text()[0] == "log\n10%"
    second = first.next()
    second.add(b"\r20%")
    assert second.text()[0] == "20%"
    third = second.next()
    third.add(b" more\nend\n")
    assert third.text()[0] == " more\nend\n"
    assert third.next().text()[0] == ""


def test_the_next_action_gets_the_whole_screen_of_a_full_screen_program_if_it_changed() -> None:
    first = OutputCapture(1000, 1000)
    first.add(b"\x1b[?1049h\x1b[Hone\r\ntwo")
    second = first.next()
    assert second.text()[0] == ""
    second.add(b"\x1b[2;1HTWO")
    assert second.text()[0] == "one\nTWO"


@pytest.mark.parametrize(
    ("mode", "key", "sent"),
    [("\x1b[?1h", "\x1b[A", "\x1bOA"), ("\x1b[?1h\x1b[?1l", "\x1b[A", "\x1b[A"), ("\x1b[?1h", "\x1b[3~", "\x1b[3~")],
)
def test_cursor_keys_have_the_form_that_the_program_asked_for(mode: str, key: str, sent: str) -> None:
    capture = OutputCapture(10, 10)
    capture.add(mode.encode())
    assert capture.keys(key) == capture.next().keys(key) == sent


@pytest.mark.parametrize(
    "block",
    [
        b"x" * 100_000,
        b"\x1b[40;150Hx\x1b[2A\x1b[3L" * 500,
        b"\x1b[999Cx\x1b[99B" * 500,
        b"\x1b]0;" + b"x" * 100_000,
        b"\x1b[" + b"1;" * 50_000,
        "e\u0301\u0301".encode() * 2_000,
        b"x\r" * 5_000,
        b"\t" * 2_000,
    ],
    ids=["no newline", "moves", "far moves", "an open title", "parameters", "marks", "returns", "tabs"],
)
def test_memory_is_limited_whatever_comes(block: bytes) -> None:
    capture = OutputCapture(64 << 10, 64 << 10)
    capture.add(b"\r" + block)
    tracemalloc.start()
    try:
        for _ in range(10):
            capture.add(block)
        assert len(capture.text()[0]) < 200_000
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
