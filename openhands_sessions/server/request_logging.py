"""What aiohttp says of a caller's faults: the caller is answered, and nobody could mend them by reading the log."""

import logging
import warnings

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.multipart import BadContentDispositionHeader, BadContentDispositionParam


def hide_client_faults() -> None:
    """Have requests that are no HTTP, and parts of uploads without a sound name, leave no trace in the log."""
    logging.getLogger("aiohttp.server").addFilter(_is_ours)
    for kind in (BadContentDispositionHeader, BadContentDispositionParam):
        # Python remembers every warning that it has shown, and each of these has a text of the caller's.
        warnings.filterwarnings("ignore", category=kind)


def _is_ours(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)
