"""The conversation over one WebSocket, without the WebSocket: bytes and times in, actions out.

`heard` puts together what relays tell in pieces. `session` is the side that was connected to (the
control plane, or a relay towards its rooms and its children);
`caller` the side that connected (a relay towards the control plane). Pure.
"""

from classroom.signalling.actions import Action, Close, Opened, Received, Send
from classroom.signalling.caller import Caller, retry_delay
from classroom.signalling.heard import HeardBelow, HeardRooms, poorest, told_below
from classroom.signalling.session import Session, close_code

__all__ = [
    "Action",
    "Caller",
    "Close",
    "HeardBelow",
    "HeardRooms",
    "Opened",
    "Received",
    "Send",
    "Session",
    "close_code",
    "poorest",
    "retry_delay",
    "told_below",
]
