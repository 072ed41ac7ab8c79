"""What the DTLS side decides about SRTP: how far back a packet may still be sent."""

from __future__ import annotations

import struct

from pylibsrtp import Policy, Session

from relay.sfu.router import LATE_MOST
from relay.transport.dtls import SEND_WINDOW


def test_a_repair_as_late_as_any_that_is_forwarded_is_still_sent() -> None:
    policy = Policy(
        key=bytes(range(28)),
        ssrc_type=Policy.SSRC_ANY_OUTBOUND,
        srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    )
    policy.window_size = SEND_WINDOW
    policy.allow_repeat_tx = True
    sender = Session(policy)
    newest = 10_000
    for number in (newest, newest - LATE_MOST, newest - LATE_MOST):
        sender.protect(struct.pack("!BBHII", 0x80, 96, number, 0, 7) + b"words")
