"""Secrets as they come: random ones with and without a known form, written as JSON, shells, addresses, headers and
Base64 have them."""

import base64
import json
import random
import re
import shlex
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

ALNUM = string.ascii_letters + string.digits
BASE64_RUN = re.compile(r"[A-Za-z0-9+/_-]{8,}")

CODE = """\
tokenizer.pad_token = tokenizer.eos_token
next_token: 5
API_KEY = os.environ["API_KEY"]; token = get_token(); password = getpass()
headers = {"Authorization": f"Bearer {token}", "X-Api-Key": settings.api_key}
curl -H "Authorization: Bearer $HF_TOKEN" "https://host.example/v1?api_key=${KEY}&page=2"
DATABASE_URL = "postgresql://postgres:postgres@localhost:5432/test"
url = f"https://{user}:{password}@{host}/path"; git clone git@github.com:a/b.git
model = hf_hub_download("org/name"); task-sk-learn; <div class="sk-estimator-doc-link sk-toggleable__control">
if "-----BEGIN PRIVATE KEY-----" in text: raise ValueError("a key")
secret_access_key = config.aws_secret_access_key
sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
A basic example of bearer authentication: Basic authentication is base64.
"""
"""Ordinary code and prose about secrets, which holds none."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A secret, whether its value is known, and a text that has it in some form."""

    secret: str
    known: bool
    text: str


def known_secret(of: random.Random) -> str:
    """A value that has no form, some with characters that JSON, shells and addresses escape."""
    letters = of.choice((ALNUM, ALNUM, ALNUM + "-_./+=", ALNUM + "$'\"\\ `!&%#é", ALNUM + "\n"))
    inner = "".join(of.choices(letters, k=of.randint(10, 90)))
    return f"{of.choice(ALNUM)}{inner}{of.choice(ALNUM)}"


def token(of: random.Random) -> str:
    """A value that nobody knows, of a form that is known."""

    def some(length: int, letters: str = ALNUM) -> str:
        return "".join(of.choices(letters, k=length))

    def claims() -> str:
        return base64.urlsafe_b64encode(json.dumps({"sub": some(12)}).encode()).decode().rstrip("=")

    body = "\n".join(some(64, ALNUM + "+/") for _ in range(of.randint(3, 20)))
    forms: Sequence[Callable[[], str]] = (
        lambda: f"{of.choice(('AKIA', 'ASIA'))}{some(16, string.ascii_uppercase + '234567')}",
        lambda: f"{of.choice(('ghp', 'gho', 'ghs', 'ghu', 'ghr'))}_{some(36)}",
        lambda: f"github_pat_{some(22)}_{some(59)}",
        lambda: f"{of.choice(('xoxb', 'xoxp'))}-{some(12, string.digits)}-{some(12, string.digits)}-{some(24)}",
        lambda: f"sk-{of.choice(('', 'proj-', 'ant-api03-'))}{some(48, ALNUM + of.choice(('', '-_')))}",
        lambda: f"hf_{some(34)}",
        lambda: f"{claims()}.{claims()}.{some(43, ALNUM + '-_')}",
        lambda: f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n{some(20)}==\n-----END RSA PRIVATE KEY-----",
    )
    return of.choice(forms)()


def _in_base64(secret: str, of: random.Random) -> str:
    before, after = of.randbytes(of.randint(0, 40)), of.randbytes(of.randint(0, 40))
    encode = of.choice((base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes))
    return encode(before + secret.encode() + after).decode()


PLACES: Sequence[Callable[[str, random.Random], str]] = (
    lambda secret, of: secret,
    lambda secret, of: json.dumps({"env": {"TOKEN": secret}}),
    lambda secret, of: json.dumps({"arguments": json.dumps({"command": f"use {secret} now"}, ensure_ascii=False)}),
    lambda secret, of: f"export TOKEN={shlex.quote(secret)}; run",
    lambda secret, of: 'curl -u "me:{}" host'.format(re.sub(r'([\\"$`])', r"\\\1", secret)),
    lambda secret, of: f"GET https://host.example/api?value={quote(secret, safe=of.choice(('', '/')))}&page=2",
    lambda secret, of: f"Authorization: Bearer {secret}",
    lambda secret, of: f"X-Api-Key: {secret}\r\nAccept: */*",
)


def placement(of: random.Random) -> Placement:
    """A secret in a text, between ordinary lines."""
    known = of.random() < 0.7
    secret = known_secret(of) if known else token(of)
    places = (*PLACES, _in_base64) if known else PLACES
    text = of.choice(places)(secret, of)
    before, after = of.choice(("", "line one\n", "value: ", "| ")), of.choice(("", "\n", " and more\nlast line", "|"))
    return Placement(secret, known, f"{before}{text}{after}")


def readings(text: str) -> Sequence[str]:
    """What somebody may read out of a text."""
    unquoted = re.sub(r"'(?:\"'\"|\\')'", "'", text)
    plain = [text, unquoted, re.sub(r"\\(.)", r"\1", text), unquote(text)]
    plain += [_from_json(one) for one in (*plain, _from_json(text))]
    runs = BASE64_RUN.findall(re.sub(r"\s|\\n", "", text))
    return [*plain, *(_from_base64(run[start:]) for run in runs for start in range(4))]


def told(text: str, secret: str) -> bool:
    """Whether the secret can be read out of the text, line breaks aside."""
    plain = re.sub(r"\s", "", secret)
    return any(plain in re.sub(r"\s", "", reading) for reading in readings(text))


def _from_json(text: str) -> str:
    names = {"n": "\n", "r": "\r", "t": "\t"}
    return re.sub(
        r"\\(?:u([0-9a-f]{4})|(.))", lambda one: chr(int(one[1], 16)) if one[1] else names.get(one[2], one[2]), text
    )


def _from_base64(text: str) -> str:
    text = text.replace("-", "+").replace("_", "/") + "A" * (-len(text) % 4)
    return base64.b64decode(text).decode("utf-8", "replace")


def leaking(texts: Sequence[str], secrets: Sequence[str]) -> list[str]:
    """Those of many secrets that can be read out of any of the texts; as `told`, in one pass over each text."""
    read = "\0".join(re.sub(r"\s", "", reading) for text in texts for reading in readings(text))
    return [secret for secret in secrets if re.sub(r"\s", "", secret) in read]
