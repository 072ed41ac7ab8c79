"""Tokens: what is signed comes back, what is forged or stale is refused by name.

The clock is an argument, so expiry is tested to the second without waiting.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from classroom.errors import Misuse, Refused
from classroom.tokens import (
    DEFAULT_RIGHTS,
    Claims,
    Right,
    Role,
    Signer,
    Verifier,
    generate_key,
    require,
)

NOW = 1_767_600_000
KEY = generate_key()
SIGNER = Signer(KEY)
VERIFIER = Verifier(SIGNER.jwks())
CLAIMS = Claims(
    subject="r-7",
    name="Lớp 9A, Trà Leng",
    role=Role.ROOM,
    lesson="vat-ly-9",
    rights=DEFAULT_RIGHTS[Role.ROOM],
    issued_at=NOW,
    expires_at=NOW + 3600,
    token_id="t-1",
)


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def code_of(token: str, now: float = NOW, verifier: Verifier = VERIFIER) -> str:
    with pytest.raises(Refused) as caught:
        verifier.verify(token, now)
    assert caught.value.status == 401
    assert caught.value.fix
    return caught.value.code


def signed(payload: object, kid: str | None = None) -> str:
    """A token with our real signature over any payload."""
    header = {"alg": "EdDSA", "kid": SIGNER.jwks()["keys"][0]["kid"] if kid is None else kid}
    key = load_pem_private_key(KEY, None)
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return jwt.PyJWS(algorithms=["EdDSA"]).encode(raw, key, "EdDSA", headers=header)  # type: ignore[arg-type]  # an Ed25519 key, as KEY is one


def payload_with(**changes: object) -> dict[str, object]:
    body = SIGNER.sign(CLAIMS).split(".")[1]
    payload: dict[str, object] = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    payload.update(changes)
    return {name: value for name, value in payload.items() if value is not ...}


def test_what_is_signed_comes_back() -> None:
    assert VERIFIER.verify(SIGNER.sign(CLAIMS), NOW) == CLAIMS


def test_a_relay_that_has_the_keys_as_json_can_check_them() -> None:
    keys = json.loads(json.dumps(SIGNER.jwks()))
    assert Verifier(keys).verify(SIGNER.sign(CLAIMS), NOW) == CLAIMS


def test_the_key_id_follows_rfc_7638() -> None:
    (jwk,) = SIGNER.jwks()["keys"]
    members = json.dumps({k: jwk[k] for k in ("crv", "kty", "x")}, separators=(",", ":"))
    assert jwk["kid"] == b64(hashlib.sha256(members.encode()).digest())
    assert "d" not in jwk


def test_it_holds_until_the_second_it_expires_in() -> None:
    token = SIGNER.sign(CLAIMS)
    VERIFIER.verify(token, CLAIMS.expires_at - 0.001)
    assert code_of(token, CLAIMS.expires_at) == "token-expired"


def test_a_clock_that_lags_does_not_refuse_a_new_token() -> None:
    VERIFIER.verify(SIGNER.sign(CLAIMS), NOW - 86400)


def test_no_token() -> None:
    assert code_of("") == "token-missing"


def test_alg_none() -> None:
    token = jwt.encode(payload_with(), "", "none", headers={"kid": "x"})
    assert code_of(token) == "token-malformed"


def test_the_public_key_used_as_a_shared_secret() -> None:
    (jwk,) = SIGNER.jwks()["keys"]
    head = b64(json.dumps({"alg": "HS256", "typ": "JWT", "kid": jwk["kid"]}).encode())
    body = b64(json.dumps(payload_with()).encode())
    secret = urlsafe_b64decode(jwk["x"] + "=")
    mac = hmac.new(secret, f"{head}.{body}".encode(), "sha256").digest()
    assert code_of(f"{head}.{body}.{b64(mac)}") == "token-malformed"


def test_a_key_of_someone_else() -> None:
    assert code_of(Signer(generate_key()).sign(CLAIMS)) == "token-unknown-key"
    assert code_of(signed(payload_with(), kid="")) == "token-unknown-key"


def test_a_stolen_key_id_with_another_signature() -> None:
    stranger = Signer(generate_key()).sign(CLAIMS).split(".")
    ours = SIGNER.sign(CLAIMS).split(".")
    assert code_of(f"{ours[0]}.{ours[1]}.{stranger[2]}") == "token-bad-signature"


def test_claims_changed_after_signing() -> None:
    head, _, signature = SIGNER.sign(CLAIMS).split(".")
    body = b64(json.dumps(payload_with(role="teacher")).encode())
    assert code_of(f"{head}.{body}.{signature}") == "token-bad-signature"


def test_an_oversized_token_is_refused_unread() -> None:
    assert code_of("a" * 4097) == "token-malformed"


def test_nested_brackets_do_not_break_the_parser() -> None:
    assert code_of(b64(b"[" * 2900) + ".e30.AA") == "token-malformed"
    assert code_of(signed(b"[" * 2500)) == "token-malformed"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"iss": "elsewhere"}, "token.iss"),
        ({"iss": ...}, "token.iss"),
        ({"exp": "never"}, "token.exp"),
        ({"exp": 1e12 + 0.5}, "token.exp"),
        ({"exp": True}, "token.exp"),
        ({"exp": -1}, "token.exp"),
        ({"exp": 2**60}, "token.exp"),
        ({"exp": ...}, "token.exp"),
        ({"iat": None}, "token.iat"),
        ({"sub": ""}, "token.sub"),
        ({"sub": 7}, "token.sub"),
        ({"name": "a" * 101}, "token.name"),
        ({"role": "king"}, "token.role"),
        ({"role": []}, "token.role"),
        ({"lesson": "../x"}, "token.lesson"),
        ({"lesson": ...}, "token.lesson"),
        ({"rights": "publish"}, "token.rights"),
        ({"rights": [1]}, "token.rights"),
        ({"jti": ...}, "token.jti"),
    ],
)
def test_a_bad_claim_is_named(changes: dict[str, object], field: str) -> None:
    with pytest.raises(Refused) as caught:
        VERIFIER.verify(signed(payload_with(**changes)), NOW)
    assert (caught.value.status, caught.value.code) == (401, "token-malformed")
    assert caught.value.field == field


def test_claims_that_are_no_object() -> None:
    assert code_of(signed([1])) == "token-malformed"
    assert code_of(signed(b"\xff")) == "token-malformed"


def test_a_right_of_a_later_version_gives_nothing_and_harms_nothing() -> None:
    claims = VERIFIER.verify(signed(payload_with(rights=["watch", "fly"])), NOW)
    assert claims.rights == {Right.WATCH}


def test_a_key_that_is_not_ed25519_is_a_misuse() -> None:
    with pytest.raises(Misuse):
        Signer(b"nonsense")
    other = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(Misuse):
        Signer(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def with_key(**changes: object) -> dict[str, object]:
    return {"keys": [{**SIGNER.jwks()["keys"][0], **changes}]}


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"keys": 1},
        {"keys": []},
        {"keys": [1]},
        with_key(x="AA"),
        with_key(x="é"),
        with_key(kid=1),
    ],
)
def test_a_key_set_that_cannot_be_used(keys: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        Verifier(keys)
    assert caught.value.code == "keys-malformed"


def test_keys_of_other_kinds_are_passed_over() -> None:
    keys = SIGNER.jwks()
    keys["keys"].insert(0, {"kty": "RSA", "kid": "other"})
    assert Verifier(keys).verify(SIGNER.sign(CLAIMS), NOW) == CLAIMS


def refused(call: Callable[[], None]) -> str:
    with pytest.raises(Refused) as caught:
        call()
    assert caught.value.status == 403
    return caught.value.code


def test_require() -> None:
    require(CLAIMS, Right.WATCH, "vat-ly-9")
    require(CLAIMS, Right.WATCH, None)
    require(replace(CLAIMS, lesson="*"), Right.WATCH, "anything")
    assert refused(lambda: require(CLAIMS, Right.PUBLISH, "vat-ly-9")) == "right-missing"
    assert refused(lambda: require(CLAIMS, Right.WATCH, "toan-8")) == "wrong-lesson"


def test_every_role_has_default_rights() -> None:
    assert set(DEFAULT_RIGHTS) == set(Role)


@given(st.text(max_size=200) | st.from_regex(r"[\w-]{1,40}\.[\w-]{1,40}\.[\w-]{1,40}"))
@settings(max_examples=150)
def test_any_text_is_refused(text: str) -> None:
    assert code_of(text).startswith("token-")


@given(st.integers(0, 2000), st.characters(codec="utf-8"))
@settings(max_examples=150)
def test_a_token_with_one_character_changed_is_refused_or_the_same(place: int, new: str) -> None:
    token = SIGNER.sign(CLAIMS)
    place %= len(token)
    changed = token[:place] + new + token[place + 1 :]
    try:
        claims = VERIFIER.verify(changed, NOW)
    except Refused as error:
        code = error.code
    else:
        # The last character of a base64 part may hold bits that no byte uses.
        assert claims == CLAIMS
        code = "token-same"
    assert code.startswith("token-")
