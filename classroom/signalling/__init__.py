"""The conversation over one WebSocket, without the WebSocket: bytes and times in, actions out.

`session` is the side that was connected to (the control plane, or a relay towards its rooms);
`caller` the side that connected (a relay towards the control plane). Pure.
"""

from classroom.signalling.actions import Action, Close, Opened, Received, Send
from classroom.signalling.caller import Caller, retry_delay
from classroom.signalling.session import Session, close_code

__all__ = [
    "Action",
    "Caller",
    "Close",
    "Opened",
    "Received",
    "Send",
    "Session",
    "close_code",
    "retry_delay",
]
