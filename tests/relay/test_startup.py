"""What stops a relay's start: TLS files or a data directory that it cannot use, told by name."""

from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _serve(folder: Path, lines: str = "") -> str:
    """What it says, on a start that must end by itself."""
    config = folder / "relay.toml"
    config.write_text(f'port = 0\ndata = "{folder / "data"}"\n{lines}[media]\nudp_port = 0\n')
    ran = subprocess.run(
        [sys.executable, "-m", "relay", "serve", "--config", str(config)],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=20,
    )
    assert ran.returncode == 2
    return ran.stderr


@pytest.mark.parametrize("lacks", ["", "archives"])
def test_a_data_directory_that_is_a_file(lacks: str, tmp_path: Path) -> None:
    directory = tmp_path / "data" / lacks
    directory.parent.mkdir(exist_ok=True)
    directory.write_text("in the way")
    assert f"cannot write in {directory}: File exists" in _serve(tmp_path)


def test_a_data_directory_where_nothing_can_be_written(tmp_path: Path) -> None:
    # Nobody writes there, not even root, who is the user of some test machines.
    (tmp_path / "data").symlink_to("/proc/self")
    assert f"cannot write in {tmp_path / 'data'}" in _serve(tmp_path)


@pytest.mark.parametrize("how", ["missing", "rubbish", "locked"])
def test_tls_files_that_cannot_be_used(how: str, tmp_path: Path) -> None:
    certificate, key = tmp_path / "fullchain.pem", tmp_path / "privkey.pem"
    if how == "rubbish":
        certificate.write_text("no certificate")
        key.write_text("no key")
    elif how == "locked":
        _write_locked(certificate, key)
    lines = f'tls_certificate = "{certificate}"\ntls_key = "{key}"\n'
    said = _serve(tmp_path, lines)
    assert f"the TLS certificate {certificate} or its key {key} cannot be used: " in said


def _write_locked(certificate: Path, key: Path) -> None:
    """A pair of which the key has a password."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "truong.example")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(private, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    certificate.write_bytes(signed.public_bytes(pem))
    locked = serialization.BestAvailableEncryption(b"secret")
    key.write_bytes(private.private_bytes(pem, serialization.PrivateFormat.PKCS8, locked))
