"""Images that clients send: one that a provider cannot read would be refused with every later request."""

import base64
import re
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator

from openhands_sessions.core.images import picture_kind

_DATA = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
_LOOKED_AT = 32
"""Characters of base64 that hold the first bytes."""


def _image_url(url: str) -> str:
    if url[:5].lower() == "data:":
        return _picture(url)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("must be a URL") from None
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http or https URL, or data of a picture: data:image/png;base64,…")
    return url


def _picture(url: str) -> str:
    head = _DATA.match(url)
    if head is None:
        raise ValueError("must be a picture in base64: data:image/png;base64,…")
    try:
        base64.b64decode(url[head.end() :], validate=True)
    except ValueError:
        raise ValueError("must be a picture in base64, and this is no base64") from None
    if picture_kind(base64.b64decode(url[head.end() : head.end() + _LOOKED_AT])) is None:
        raise ValueError("must be a PNG, JPEG, GIF or WebP picture, and its data is none")
    return url


ImageUrl: TypeAlias = Annotated[str, AfterValidator(_image_url)]
"""An http or https URL, or the data of a picture."""
