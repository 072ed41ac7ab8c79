"""The HTTP half of publishing: WHIP's POST and DELETE (RFC 9725), and asking central for a lesson.

Lives here: requests, and turning refusals (RFC 9457 problem documents) and silence into our errors.
Must not live here: media, retrying (`publisher`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Final

import aiohttp
from yarl import URL

from classroom.bodies import read_body
from classroom.errors import Absent, ClassroomError, Misuse, Refused

HTTP_TIMEOUT_S: Final = 15.0
DELETE_TIMEOUT_S: Final = 3.0
ANSWER_MAX: Final = 262_144  # bytes; a real answer is under 10 kB


@dataclass(frozen=True, slots=True)
class Place:
    """Where to publish: the WHIP endpoint, and the bearer token or None."""

    url: str
    token: str | None


def client() -> aiohttp.ClientSession:
    """An HTTP client with our time limit; the caller closes it."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=HTTP_TIMEOUT_S))


async def post_offer(http: aiohttp.ClientSession, place: Place, offer: str) -> tuple[str, URL]:
    """Hand in `offer`; returns the answer's SDP and the session's own address.

    Raises Refused with the relay's words, Absent when it does not answer, Misuse for a bad URL.
    """
    headers = {"Content-Type": "application/sdp", **_authorization(place)}
    try:
        async with http.post(place.url, data=offer.encode(), headers=headers) as response:
            body = await _body(response)
            if response.status != 201:
                raise _refusal(response, body)
            return body.decode("utf-8", "replace"), _resource(response)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _silence(place.url, error) from error
    except ValueError as error:
        raise Misuse(f"“{place.url}” is not a web address.") from error


def _resource(response: aiohttp.ClientResponse) -> URL:
    """The session's own address. Raises Absent."""
    location, resource = response.headers.get("Location"), None
    if location is not None:
        with contextlib.suppress(ValueError):
            resource = response.url.join(URL(location))
    if resource is None or resource.scheme not in ("http", "https") or not resource.is_absolute():
        given = "no Location" if location is None else f"the Location “{location}”"
        raise Absent(
            f"{response.url} gave {given}, so the session could not be ended later.",
            fix="Check that this address is a WHIP endpoint.",
        )
    return resource


def _silence(url: str, error: Exception) -> Absent:
    reason = str(error) or "no reply in time"
    return Absent(f"{url} does not answer ({reason}).", fix="Trying again until it does.")


async def _body(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await read_body(response.content, ANSWER_MAX)
    except ValueError as error:
        raise Absent(
            f"{response.url} answers, but not as a relay or a central school does ({error}).",
            fix="Check the address.",
        ) from error


def _refusal(response: aiohttp.ClientResponse, body: bytes) -> Refused:
    """The relay's own sentence where it gave one (RFC 9457), else one for the status."""
    detail, fix, code = f"The relay answered {response.status} {response.reason}.", "", "refused"
    if response.content_type.endswith("json"):
        # A body nested too deep is no document either.
        with contextlib.suppress(ValueError, RecursionError):
            document = json.loads(body)
            if isinstance(document, dict):
                detail = str(document.get("detail") or detail)
                fix = str(document.get("fix") or "")
                code = str(document.get("type") or code).rpartition(":")[2]
    elif response.content_type == "text/plain" and body:
        detail = body[:300].decode("utf-8", "replace").strip()
    return Refused(response.status, code, detail, fix=fix)


async def delete_session(http: aiohttp.ClientSession, resource: URL, place: Place) -> None:
    """End the session at the relay. It may be gone already; then there is nothing to end."""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with (
            asyncio.timeout(DELETE_TIMEOUT_S),
            http.delete(resource, headers=_authorization(place)),
        ):
            pass


def _authorization(place: Place) -> dict[str, str]:
    return {} if place.token is None else {"Authorization": f"Bearer {place.token}"}


async def lesson_place(central: str, lesson: str, token: str | None) -> Place:
    """Ask the control plane to start `lesson`: where its relay is, and a token to publish with.

    Raises Refused with the control plane's own sentence, Absent when it does not answer.
    """
    place = Place(f"{central.rstrip('/')}/api/lessons/{lesson}/start", token)
    try:
        async with (
            client() as http,
            http.post(place.url, headers=_authorization(place)) as response,
        ):
            body = await _body(response)
            if response.status not in (200, 201):
                raise _refusal(response, body)
            document = json.loads(body)
            return Place(str(document["whip"]), str(document["token"]))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _silence(central, error) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Misuse(f"{central} is not a central school's address.") from error


def sentence(error: ClassroomError) -> str:
    """What to show a person for `error`: what is wrong, then what to do."""
    match error:
        case Refused():
            return f"{error.detail} {error.fix}".strip()
        case Absent():
            return f"{error.what} {error.fix}".strip()
        case _:
            return str(error)
