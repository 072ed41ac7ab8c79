"""The signing key on disk: `<data>/keys/ed25519.pem`, made on first use, for its owner only.

The key is written whole to a file of its own, flushed, and then linked to its name, so that a
power cut or two processes starting together never leave half a key or two keys. Losing this
file makes every link invalid; README says to keep a copy.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from classroom.errors import Misuse
from classroom.tokens import generate_key


def load_or_create_key(data: Path) -> bytes:
    """The PEM of the signing key under the data directory; raises Misuse if it cannot be kept."""
    path = data / "keys" / "ed25519.pem"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        if not path.exists():
            _create(path)
        return path.read_bytes()
    except OSError as error:
        raise Misuse(
            f"cannot keep the signing key at {path}: {error.strerror}; "
            "choose a data directory that can be written with --data"
        ) from error


def load_key(data: Path) -> bytes:
    """The PEM of the key of the server whose data directory this is; Misuse if there is none.

    A new key would sign what that server does not accept, so none is made.
    """
    path = data / "keys" / "ed25519.pem"
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Misuse(
            f"there is no signing key at {path}, so nobody would accept the link; name the "
            "server's settings with --config (or its directory with --data), and start the server "
            "once before you make links"
        ) from error
    except OSError as error:
        raise Misuse(
            f"cannot read the signing key at {path}: {error.strerror}; run this command as the "
            "user of the server (sudo -u classroom …)"
        ) from error


def _create(path: Path) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(generate_key())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            # Another process was first; its key is the one.
            return
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        draft.unlink()
