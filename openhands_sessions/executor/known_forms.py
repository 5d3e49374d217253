"""The forms of secrets that are known without their values: tokens of well-known services, private keys, passwords in
addresses and headers. Code that only names secrets (`pad_token = eos_token`) has none of these forms."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Iterable, Iterator, Match, NamedTuple, Pattern

CONTEXT = 64
"""Characters before a secret that may say that it is one."""
_LONGEST_TOKEN = 16 << 10
_LONGEST_KEY = 64 << 10
"""Characters; what goes on beyond is taken for something else."""
_ALNUM = "[A-Za-z0-9]"
_TOKENS: dict[str, str] = {
    "sk-": rf"(?:[A-Za-z0-9_-]{{40,}}|(?:[A-Za-z0-9_]+-)*{_ALNUM}{{16,}}[A-Za-z0-9_-]*)",
    "github_pat_": "[A-Za-z0-9_]{20,}",
    "glpat-": "[A-Za-z0-9_.-]{12,}",
    "hf_": rf"{_ALNUM}{{20,}}",
    "gsk_": rf"{_ALNUM}{{12,}}",
    "npm_": rf"{_ALNUM}{{36}}",
    "pypi-": "[A-Za-z0-9_-]{50,}",
    "xapp-": r"\d-[A-Za-z0-9-]{10,}",
    **dict.fromkeys(("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), rf"{_ALNUM}{{16,}}"),
    **{f"xox{kind}-": "[A-Za-z0-9-]{10,}" for kind in "abcdeoprs"},
    **dict.fromkeys(("sk_live_", "sk_test_", "rk_live_", "rk_test_"), rf"{_ALNUM}{{16,}}"),
    **dict.fromkeys(("xai-", "r8_", "fw_"), rf"(?=[A-Za-z]*\d){_ALNUM}{{20,}}"),
}
"""What follows which beginning of a token; each ends in `_` or `-`, by which it is found."""
_BODIES = {prefix: re.compile(body) for prefix, body in _TOKENS.items()}


def _beginnings(last: str) -> Pattern[str]:
    """Finds the ends of those that end in this character: a pattern that begins with one is searched fastest."""
    ours = sorted((prefix for prefix in _TOKENS if prefix[-1] == last), key=len)
    return re.compile(last + "(?:" + "|".join(f"(?<={'|'.join(same)})" for _, same in groupby(ours, len)) + ")")


_BEGINNINGS = (_beginnings("_"), _beginnings("-"))


class KnownForm(NamedTuple):
    """Begins with one of the anchors, which are as they must be where they have capitals, and otherwise in any case.
    What is secret is the first group of the pattern, or all of it. `gaps`: how many spaces may stand in it. `free`: it
    may follow a letter or a digit."""

    anchors: tuple[str, ...]
    pattern: Pattern[str]
    gaps: int = 0
    free: bool = True

    @property
    def exact(self) -> bool:
        return not any(anchor.islower() for anchor in self.anchors)


_OPAQUE = r"(?=[A-Za-z._~+/=-]{0,99}\d)[A-Za-z0-9._~+/=-]{16,9999}"
"""A value with a digit in it: a word of prose or a name in code has none, or is shorter."""
_IS = r"""(?:\\*["'])?\]?[ \t]*[:=]>?[ \t]*(?:\\*["'])?"""
_GAP = r"(?:\s|\\+[nrt])+"
_LINES = rf"(?:{_GAP}[A-Za-z0-9+/=%]+)*"
_END = r"-----END[A-Z0-9 +%]*"
"""In an address, a space is `+` or `%20`, and a line break `%0A`."""
_PLACEHOLDERS = r"(?i:\*+|x+|pass(?:word|wd)?|pwd?|secret|postgres|root|admin|test|guest|example|changeme)@"
_FORMS = (
    KnownForm(("AKIA", "ASIA"), re.compile(r"A[KS]IA[A-Z2-7]{16}(?![A-Za-z0-9])"), free=False),
    KnownForm(("eyJ",), re.compile(r"eyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,9999}\.[A-Za-z0-9_-]{8,2000}")),
    KnownForm(("AIza",), re.compile(r"AIza[A-Za-z0-9_-]{20,}"), free=False),
    KnownForm(("hooks.slack.com",), re.compile(r"(?i:hooks\.slack\.com)/(?:services|workflows)/([A-Za-z0-9/_]{20,})")),
    KnownForm(
        ("access_key", "accesskey"),
        re.compile(rf"(?i:access_?key){_IS}([A-Za-z0-9/+]{{40}})(?![A-Za-z0-9/+=])"),
        gaps=3,
    ),
    KnownForm(
        ("session_token", "sessiontoken"), re.compile(rf"(?i:session_?token){_IS}([A-Za-z0-9/+=]{{80,}})"), gaps=3
    ),
    KnownForm(("://",), re.compile(rf"""://[^\s/:@"'\\<>]*:(?!{_PLACEHOLDERS})([^\s/@"'\\<>{{}}$()\[\]]{{3,}})@""")),
    KnownForm(
        ("?", "&"),
        re.compile(
            r"[?&](?i:[a-z_-]{0,32}(?:key|token|secret|password|signature))=((?=[A-Za-z._~+/=%-]{0,99}\d)[A-Za-z0-9._~+/=%-]{16,9999})"
        ),
    ),
    KnownForm(
        ("authorization",),
        re.compile(
            rf"(?i:authorization){_IS}(?:(?i:bearer|token|apikey)[ \t]+(?={_OPAQUE})|(?i:basic)[ \t]+)"
            r"([A-Za-z0-9._~+/=-]{8,})"
        ),
        gaps=5,
    ),
    KnownForm(
        ("basic ",),
        re.compile(r"(?i:basic) +((?=[A-Za-z0-9+/]*[0-9=+/])[A-Za-z0-9+/]{8,}={0,2})(?![A-Za-z0-9.-])"),
        gaps=1,
        free=False,
    ),
    KnownForm(("bearer ",), re.compile(rf"(?i:bearer) +({_OPAQUE})"), gaps=1, free=False),
    KnownForm(
        ("api-key", "private-token", "auth-token"),
        re.compile(rf"(?i:api-key|private-token|auth-token){_IS}({_OPAQUE})"),
        gaps=3,
    ),
    KnownForm(
        ("-----BEGIN",),
        re.compile(
            rf"-----BEGIN[A-Z0-9 +%]*PRIVATE(?:[ +]|%20)KEY[A-Z0-9 +%]*-----(?:{_GAP}[A-Za-z-]+: [^\r\n\\]*)*"
            rf"(?:{_GAP})?[A-Za-z0-9+/=%]{{16,}}{_LINES}(?:(?:{_GAP})?{_END}-----)?"
        ),
    ),
)
_HINTS = ("key", "token", "z", "J", "K", "S", "B", "b", "k", "/")


def _hinted(forms: Iterable[KnownForm]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The anchors by what each of them has and most texts have not, which is found sooner."""
    anchors = [anchor for form in forms for anchor in form.anchors]
    hints = {anchor: next((hint for hint in _HINTS if hint in anchor), anchor) for anchor in anchors}
    return tuple((hint, tuple(one for one in anchors if hints[one] == hint)) for hint in dict.fromkeys(hints.values()))


_EXACT = _hinted(form for form in _FORMS if form.exact)
_IN_ANY_CASE = _hinted(form for form in _FORMS if not form.exact)
_END_OF_KEY = re.compile(rf"[A-Za-z0-9+/=%]*{_LINES}(?:{_GAP})?{_END}KEY[A-Z0-9 +%]*-----")
_CUT_TOKEN = re.compile(r"(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{20,}")
_ESCAPED = re.compile(r"(?:\\[bfnrt]|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2})\Z")
_OPENED = "-----BEGIN"
_OPEN_KEY = re.compile(r"-----BEGIN[A-Z0-9 +%]*(?:KEY[A-Z0-9 +%]*-{0,5}(?:(?<=-----)[A-Za-z0-9+/=%\s\\,:-]*)?)?\Z")
_CLOSED = re.compile(rf"{_END}-----")
_SPACES = re.compile(r"[ \t]+")
_TO_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def possible(text: str) -> bool:
    """Whether the text may have a secret of a known form; also for text inside JSON."""
    at_underscores, at_hyphens = _BEGINNINGS
    if at_underscores.search(text) is not None or at_hyphens.search(text) is not None or _has(text, _EXACT):
        return True
    return _has(text.lower(), _IN_ANY_CASE)


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Where secrets of known forms stand."""
    done = 0
    for found in sorted((found for each in _BEGINNINGS for found in each.finditer(text)), key=Match.start):
        for prefix, body in _BODIES.items():
            start = found.end() - len(prefix)
            if start >= done and text.startswith(prefix, start) and _begins(text, start):
                token = body.match(text, found.end())
                if token is not None:
                    done = token.end()
                    yield start, done
    lower = _lower(text)
    for form in _FORMS:
        searched = text if form.exact else lower
        for anchor in form.anchors:
            place = searched.find(anchor)
            while place >= 0:
                whole = form.pattern.match(text, place) if form.free or _begins(text, place) else None
                if whole is not None:
                    yield whole.span(min(form.pattern.groups, 1))
                place = searched.find(anchor, place + 1)


def growing(text: str) -> int:
    """How many characters at the end of the text may belong to a secret that is not complete yet."""
    if not possible(text):
        return 0
    begin = max(text.rfind("\n") + 1, len(text) - _LONGEST_TOKEN)
    line = text[begin:]
    lower = _lower(line)
    starts = [0, *(gap.end() for gap in _SPACES.finditer(line))]
    first = len(line)
    for beginnings in _BEGINNINGS:
        token = beginnings.search(text, begin + starts[-1])
        if token is not None:
            first = min(first, max(starts[-1], token.start() - max(map(len, _TOKENS)) - begin))
    for form in _FORMS:
        region = starts[max(0, len(starts) - 1 - form.gaps)]
        for anchor in form.anchors:
            place = (line if form.exact else lower).find(anchor, region)
            if 0 <= place < len(line) - len(anchor):  # one that ends the text says nothing yet
                first = min(first, place)
    key = text.rfind(_OPENED, max(0, len(text) - _LONGEST_KEY))
    if key >= 0 and not _CLOSED.search(text, key) and _OPEN_KEY.match(text, key):
        return len(text) - min(key, begin + first)
    return len(line) - first


def cut_off(text: str) -> int:
    """How many characters at the start of a text, whose beginning was cut off, may be the end of such a secret."""
    found = _END_OF_KEY.match(text) or _CUT_TOKEN.match(text)
    return 0 if found is None else found.end()


def _has(text: str, hinted: tuple[tuple[str, tuple[str, ...]], ...]) -> bool:
    for hint, anchors in hinted:
        if hint in text:
            for anchor in anchors:
                if anchor in text:
                    return True
    return False


def _lower(text: str) -> str:
    """In lower case, character by character."""
    lower = text.lower()
    return lower if len(lower) == len(text) else text.translate(_TO_LOWER)


def _begins(text: str, place: int) -> bool:
    """Whether a word may begin here: behind no letter and no digit, or behind an escaped character."""
    return not text[place - 1 : place].isalnum() or _ESCAPED.search(text, max(0, place - 6), place) is not None
