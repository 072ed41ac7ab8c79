"""What a relay needs of its machine before it starts: its TLS files, and a directory to write in.

Lives here: both, checked with words that name the file. Must not live here: settings by themselves
(`settings`), ports (`node`). Without this the node would start a service again and again that can
never run.
"""

from __future__ import annotations

import errno
import ssl
import tempfile
from pathlib import Path
from typing import Final

from classroom.errors import Misuse
from relay.settings import RelaySettings

# A full disk keeps no lesson from being taught, and is told of on the pages.
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def tls_context(settings: RelaySettings) -> ssl.SSLContext | None:
    """The server's TLS context, None without a certificate. Raises Misuse."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Without a password for its key OpenSSL would ask at the terminal.
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        raise Misuse(
            f"the TLS certificate {settings.tls_certificate} or its key {settings.tls_key} cannot "
            f"be used: {error.strerror or error}; both must be PEM files that belong together, the "
            "key without a password, and readable by the relay's user"
        ) from error
    return context


def prepare_data(data: Path) -> None:
    """Make the directory for archives and state. Raises Misuse where it cannot be written in."""
    for directory in (data, data / "archives"):
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=directory):
                pass
        except OSError as error:
            if error.errno in _FULL:
                continue
            raise Misuse(
                f"the relay cannot write in {directory}: {error.strerror}; name another directory "
                "with data or --data, or let the relay's user write there"
            ) from error
