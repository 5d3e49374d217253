"""Short texts from outside that reach a command line, an environment, a header or a file name."""

import unicodedata
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field, SecretStr

LONGEST_NAME = 256
LONGEST_ADDRESS = 2_000
LONGEST_KEY = 10_000
LONGEST_ARGUMENT = 16 * 1024
_NOT_IN_A_LINE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, lone surrogates and separators of lines."""
_PASSED_OVER = " .,:;<>\"\\'"
"""What git leaves out around a name; it refuses one that has nothing else."""


def _line(text: str) -> str:
    if any(unicodedata.category(letter) in _NOT_IN_A_LINE for letter in text):
        raise ValueError("must be one line without control characters")
    return text


def _address(text: str) -> str:
    if any(letter.isspace() for letter in _line(text)):
        raise ValueError("must not have blanks in it")
    return text


def _key(text: str) -> str:
    if not text.isascii() or not text.isprintable() or text != text.strip():
        raise ValueError("must be printable ASCII without blanks around it: it goes into a header")
    return text


def _secret_key(key: SecretStr) -> SecretStr:
    _key(key.get_secret_value())
    return key


def _argument(text: str) -> str:
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("must be text without NUL that can be encoded as UTF-8")
    return text


def _git_name(text: str) -> str:
    if text and not text.strip(_PASSED_OVER):
        raise ValueError("must have more in it than what git passes over")
    return text


Line: TypeAlias = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_line)]
"""A name."""
GitName: TypeAlias = Annotated[Line, AfterValidator(_git_name)]
"""Whom git names as an author; empty for nobody."""
Address: TypeAlias = Annotated[str, Field(max_length=LONGEST_ADDRESS), AfterValidator(_address)]
"""Where something is reached, or by what name it is fetched."""
Key: TypeAlias = Annotated[str, Field(max_length=LONGEST_KEY), AfterValidator(_key)]
SecretKey: TypeAlias = Annotated[SecretStr, Field(max_length=LONGEST_KEY), AfterValidator(_secret_key)]
"""What goes along with requests in a header."""
Argument: TypeAlias = Annotated[str, Field(max_length=LONGEST_ARGUMENT), AfterValidator(_argument)]
"""A word of a command line, or a value of an environment."""
