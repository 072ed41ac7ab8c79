"""Signs claims and checks tokens: JWT (RFC 7519) with Ed25519 (RFC 8037), key ids of RFC 7638.

Only EdDSA is ever accepted and the key is chosen by `kid` alone, so a token cannot pick its own
algorithm or key. Expiry is checked against the `now` of the caller. `iat` is not compared with
any clock: a school relay's clock may lag. Nothing here reads files or the network.
"""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from classroom.errors import Misuse, Refused
from classroom.tokens.claims import ANY_LESSON, Claims, Right, Role
from classroom.wire import is_lesson_id

ISSUER: Final = "classroom"
ALGORITHM: Final = "EdDSA"
# A full token of ours is under 700 bytes; more is an attack on the parser.
MAX_TOKEN_BYTES: Final = 4096
_MAX_NAME: Final = 100
# Past any date of ours, and exact in a browser's numbers.
_MAX_TIME: Final = 2**53


def generate_key() -> bytes:
    """A new private signing key as PEM (PKCS #8)."""
    return Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


class Signer:
    """Signs tokens with one private key. Raises Misuse if the PEM is no Ed25519 key."""

    def __init__(self, private_key_pem: bytes) -> None:
        try:
            key = load_pem_private_key(private_key_pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise Misuse(f"the signing key cannot be read: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise Misuse("the signing key is not an Ed25519 key")
        self._key = key
        self._jwk = _public_jwk(key.public_key())

    def sign(self, claims: Claims) -> str:
        """The token (compact JWT) that says `claims`."""
        payload = {
            "iss": ISSUER,
            "sub": claims.subject,
            "name": claims.name,
            "role": claims.role.value,
            "lesson": claims.lesson,
            "rights": sorted(right.value for right in claims.rights),
            "iat": claims.issued_at,
            "exp": claims.expires_at,
            "jti": claims.token_id,
        }
        return jwt.encode(payload, self._key, ALGORITHM, headers={"kid": self._jwk["kid"]})

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JWK Set (RFC 7517), for `/api/keys` and `Verifier`."""
        return {"keys": [dict(self._jwk)]}


class Verifier:
    """Checks tokens against the public keys of a JWK Set.

    Keys of other types in the set are passed over (RFC 7517 §5); Refused 502 `keys-malformed` if
    it is no key set or holds none of ours.
    """

    def __init__(self, jwks: Mapping[str, Any]) -> None:
        keys = jwks.get("keys")
        if not isinstance(keys, list):
            _keys_malformed("it has no list of keys")
        self._keys: dict[str, Ed25519PublicKey] = {}
        for jwk in keys:
            if not isinstance(jwk, Mapping) or jwk.get("crv") != "Ed25519":
                continue
            kid, x = jwk.get("kid"), jwk.get("x")
            if not isinstance(kid, str) or not isinstance(x, str):
                _keys_malformed("a key lacks its kid or x")
            try:
                self._keys[kid] = Ed25519PublicKey.from_public_bytes(_unbase64(x))
            except ValueError:
                _keys_malformed(f"the key {kid[:60]!r} is not 32 bytes of base64url")
        if not self._keys:
            _keys_malformed("it holds no Ed25519 key")

    def verify(self, token: str, now: float) -> Claims:
        """The claims of `token` if it is ours and in force at `now` (unix seconds).

        Raises Refused 401: token-missing (empty), token-malformed (with the claim at fault as
        `field`), token-unknown-key, token-bad-signature, token-expired.
        """
        if not token:
            raise _refused("token-missing", "The request carries no access token.")
        if len(token) > MAX_TOKEN_BYTES:
            raise _malformed("token", f"is longer than {MAX_TOKEN_BYTES} bytes")
        try:
            header = jwt.get_unverified_header(token)
        # RecursionError: a header of nested brackets overflows the JSON parser.
        except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
            raise _malformed("token", "is not a signed web token") from error
        if header.get("alg") != ALGORITHM:
            raise _malformed("token.alg", f"must be {ALGORITHM}")
        kid = header.get("kid")
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise _refused(
                "token-unknown-key", "The access token is signed with a key that is not ours."
            )
        try:
            payload = jwt.PyJWS(algorithms=[ALGORITHM]).decode(token, key, algorithms=[ALGORITHM])
            claims = json.loads(payload)
        except jwt.InvalidSignatureError as error:
            raise _refused(
                "token-bad-signature", "The signature of the access token is wrong."
            ) from error
        except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
            raise _malformed("token", "is not a signed web token") from error
        checked = _read_claims(claims)
        if now >= checked.expires_at:
            raise _refused("token-expired", "The link has expired.", field="token.exp")
        return checked


def unchecked_claims(token: str) -> Claims | None:
    """What a token of one's own says, None if it is none. Nothing is verified: good for knowing
    oneself, never for letting somebody in."""
    try:
        return _read_claims(jwt.decode(token, options={"verify_signature": False}))
    except (jwt.InvalidTokenError, Refused, ValueError, RecursionError):
        return None


def _read_claims(body: object) -> Claims:
    if not isinstance(body, dict):
        raise _malformed("token", "holds no claims")
    if body.get("iss") != ISSUER:
        raise _malformed("token.iss", f"must be {ISSUER!r}")
    lesson = _text(body, "lesson")
    if lesson != ANY_LESSON and not is_lesson_id(lesson):
        raise _malformed("token.lesson", "must be a lesson id or *")
    role = _text(body, "role")
    if role not in set(Role):
        raise _malformed("token.role", "must be one of " + ", ".join(Role))
    rights = body.get("rights")
    if not isinstance(rights, list) or not all(isinstance(right, str) for right in rights):
        raise _malformed("token.rights", "must be a list of texts")
    return Claims(
        subject=_text(body, "sub"),
        name=_text(body, "name", shortest=0),
        role=Role(role),
        lesson=lesson,
        # A right that this version does not know gives nothing here, and harms nothing.
        rights=frozenset(right for right in Right if right.value in rights),
        issued_at=_time(body, "iat"),
        expires_at=_time(body, "exp"),
        token_id=_text(body, "jti"),
    )


def _text(body: dict[str, object], name: str, shortest: int = 1) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not shortest <= len(value) <= _MAX_NAME:
        raise _malformed(f"token.{name}", f"must be text of {shortest} to {_MAX_NAME} characters")
    return value


def _time(body: dict[str, object], name: str) -> int:
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MAX_TIME:
        raise _malformed(f"token.{name}", "must be whole unix seconds")
    return value


def _public_jwk(key: Ed25519PublicKey) -> dict[str, str]:
    x = _base64(key.public_bytes(Encoding.Raw, PublicFormat.Raw))
    # RFC 7638 §3.2 with RFC 8037 §2: these members, in this order, without spaces.
    members = f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'
    kid = _base64(hashlib.sha256(members.encode()).digest())
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig", "alg": ALGORITHM}


def _base64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unbase64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _malformed(field: str, must: str) -> Refused:
    return _refused("token-malformed", f"The access token is not valid: {field} {must}.", field)


def _refused(code: str, detail: str, field: str = "Authorization") -> Refused:
    return Refused(
        401,
        code,
        detail,
        fix="Open the whole link again, or ask whoever sent it for a new one.",
        field=field,
    )


def _keys_malformed(why: str) -> NoReturn:
    raise Refused(
        502,
        "keys-malformed",
        f"The key set of the control plane cannot be used: {why}.",
        fix="Check that the address of the control plane is right.",
        field="keys",
    )
