"""HTTPS on both planes with a certificate authority of one's own, as a school without a public
name has it: pages, WebSockets, and a relay that finds its control plane by SSL_CERT_FILE.

The commands run as processes of their own; here are the authority, their settings, and a client
that trusts nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import json
import os
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from classroom import wire
from classroom.accounts import LinkOrder, claims_for
from classroom.store import load_key
from classroom.tokens import Role, Signer

READY_S = 60.0  # a cold start on two busy cores


def _certificate(
    subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    def name(common: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])

    now = datetime.datetime.now(datetime.UTC)
    is_authority = subject == issuer
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key())
    builder = builder.add_extension(authority, critical=False)
    if is_authority:
        # Newer versions of Python want to read what its key is for.
        others = dict.fromkeys(
            (
                "digital_signature",
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        usage = x509.KeyUsage(key_cert_sign=True, crl_sign=True, **others)
        builder = builder.add_extension(usage, critical=True)
    else:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), address])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(by, hashes.SHA256())


class Authority:
    """A certificate authority and one certificate of it, as PEM files in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.file = folder / "ca.pem"
        self.chain = folder / "chain.pem"
        self.key = folder / "key.pem"
        pem = serialization.Encoding.PEM
        root = _certificate("School", authority, "School", authority)
        self.file.write_bytes(root.public_bytes(pem))
        self.chain.write_bytes(
            _certificate("server", server, "School", authority).public_bytes(pem)
        )
        self.key.write_bytes(
            server.private_bytes(
                pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def trust(self) -> ssl.SSLContext:
        """What a client needs that trusts this authority alone."""
        return ssl.create_default_context(cafile=str(self.file))

    def settings(self) -> str:
        """Lines for a settings file."""
        return f'tls_certificate = "{self.chain}"\ntls_key = "{self.key}"\n'


@asynccontextmanager
async def serving(
    module: str, config: Path, environment: dict[str, str]
) -> AsyncIterator[dict[str, Any]]:
    """`classroom serve` or `classroom-relay serve`; gives its ready line."""
    with (config.with_suffix(".log")).open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, "serve", "--json", "--config", str(config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=os.environ | environment,
        )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(READY_S):
            line = await process.stdout.readline()
        assert line, config.with_suffix(".log").read_text(encoding="utf-8")
        yield json.loads(line)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


class School:
    """A control plane over HTTPS, and what a client of it needs."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.authority = authority
        self.url = ""

    def token(self, role: Role) -> str:
        """A link's token."""
        claims = claims_for(LinkOrder(role, "*", "Cô Hoa", 1.0), token_id=role, now=time.time())
        return Signer(load_key(self.folder / "central")).sign(claims)

    @asynccontextmanager
    async def relay(self, name: str, environment: dict[str, str]) -> AsyncIterator[str]:
        """A relay over HTTPS; gives its address."""
        config = self.folder / f"{name}.toml"
        config.write_text(
            f'host = "127.0.0.1"\nport = 0\nname = "{name}"\ndata = "{self.folder / name}"\n'
            f'central = "{self.url}"\ntoken = "{self.token(Role.RELAY)}"\n'
            f'{self.authority.settings()}[media]\nudp_host = "127.0.0.1"\nudp_port = 0\n'
        )
        async with serving("relay", config, environment) as ready:
            yield ready["relay"]


@pytest.fixture
async def school(tmp_path: Path) -> AsyncIterator[School]:
    school = School(tmp_path, Authority(tmp_path / "tls"))
    config = tmp_path / "central.toml"
    config.write_text(
        f'[server]\nhost = "127.0.0.1"\nport = 0\n{school.authority.settings()}'
        f'[storage]\ndata = "{tmp_path / "central"}"\n'
    )
    async with serving("classroom", config, {}) as ready:
        school.url = ready["url"]
        yield school


async def welcome(http: aiohttp.ClientSession, url: str, token: str) -> wire.Message:
    """The first word of a server to a page."""
    async with http.ws_connect(url, params={"token": token}) as socket:
        await socket.send_bytes(wire.encode(wire.Hello(wire.Page.ROOM, "vi", None)))
        return wire.decode(await socket.receive_bytes())


async def test_both_planes_over_https(school: School) -> None:
    assert school.url.startswith("https://127.0.0.1:")
    trust = aiohttp.TCPConnector(ssl=school.authority.trust())
    headers = {"Authorization": f"Bearer {school.token(Role.TEACHER)}"}
    trusting = {"SSL_CERT_FILE": str(school.authority.file)}
    async with (
        aiohttp.ClientSession(connector=trust) as http,
        aiohttp.ClientSession() as stranger,
        school.relay("root", trusting) as relay,
        school.relay("doubting", {}) as doubting,
    ):
        assert relay.startswith("https://127.0.0.1:")
        for page in (f"{school.url}/teach", f"{relay}/room"):
            async with http.get(page) as answer:
                assert (answer.status, answer.content_type) == (200, "text/html")
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await stranger.get(page)
        token = school.token(Role.ROOM)
        for events in (f"{school.url}/api/events", f"{relay}/events"):
            assert isinstance(await welcome(http, events, token), wire.Welcome), events

        async with asyncio.timeout(READY_S):
            while True:
                async with http.get(f"{relay}/healthz") as answer:
                    if (await answer.json())["checks"]["central"]:
                        break
                await asyncio.sleep(0.1)
        # Pages are sent on to where the relay is, over HTTPS as well.
        async with http.get(f"{school.url}/api/relays", headers=headers) as answer:
            relays = (await answer.json())["relays"]
        assert [(one["name"], one["url"]) for one in relays] == [("root", relay)]
        # Who was not told of the authority trusts nobody in its place.
        async with http.get(f"{doubting}/healthz") as answer:
            assert (await answer.json())["checks"]["central"] is False
    log = (school.folder / "doubting.log").read_text(encoding="utf-8")
    assert "CERTIFICATE_VERIFY_FAILED" in log
    for name in ("central", "root", "doubting"):
        assert "Traceback" not in (school.folder / f"{name}.log").read_text(encoding="utf-8")
