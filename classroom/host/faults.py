"""What ffmpeg's errors mean to the person at the keyboard.

Lives here: one function from an ffmpeg error to a sentence with a fix. Must not live here: any
decision about retrying. The wording names the source as the person wrote it, never a code number.
"""

from __future__ import annotations

import av.error

from classroom.host.outlet import Name


def sentence(error: Exception, shown: str, *, device: bool) -> str:
    """One sentence on why `shown` cannot be read, and what to do."""
    match error:
        case FileNotFoundError():
            if device:
                return f"There is no device {shown}; is it plugged in, and is its name right?"
            return f"There is no file {shown}; check the path."
        case PermissionError() | av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
            if device:
                return f"{shown} may not be opened; add this user to the groups video and audio."
            return (
                f"{shown} may not be read; check its permissions, or the password in its address."
            )
        case IsADirectoryError():
            return f"{shown} is a folder; name a file in it."
        case av.error.HTTPNotFoundError():
            return f"The server has nothing at {shown}; check the address."
        case av.error.HTTPError():
            return f"The server refused {shown}: {error.strerror}."
        case ConnectionRefusedError():
            return f"Nobody answers at {shown}; is the camera or server on, and the port right?"
        case TimeoutError() | av.error.ExitError():
            return f"{shown} did not answer in time; check the network and the address."
        case av.error.DecoderNotFoundError() | av.error.PatchWelcomeError():
            return f"{shown} is coded in a way that cannot be read here; convert it to MP4 (H.264)."
        case av.error.ProtocolNotFoundError() | av.error.DemuxerNotFoundError():
            return f"Addresses like {shown} are not supported here; use a file, rtsp:// or http://."
        case av.error.InvalidDataError():
            return f"{shown} is not a video or sound recording, or it is damaged."
        case OSError():
            return f"{shown} cannot be read: {error.strerror or error}."
        case _:
            return f"{shown} cannot be read: {error}."


def no_sound(shown: str) -> str:
    """For a source whose voice was wanted and that has none."""
    return (
        f"{shown} has no sound, and a lesson needs a voice; add one with --voice-from alsa:default "
        "(or a file), or say --no-voice."
    )


def no_picture(shown: str, name: Name) -> str:
    """For a source given as camera or screen that has no picture."""
    return f"{shown} has no picture, so it cannot be the {name}."


def came_back_without(shown: str, name: Name) -> str:
    """For a live source that returned after a break and lacks a track that it had."""
    what = "sound" if name == "voice" else "picture"
    return f"{shown} came back without its {what}; check its settings, then start the host again."


def undecodable(shown: str, name: Name) -> str:
    """For a track in a codec that nothing here reads."""
    what = "sound" if name == "voice" else "picture"
    return (
        f"The {what} of {shown} is coded in a way that cannot be read here; set it to "
        f"{'Opus or AAC' if name == 'voice' else 'H.264'}."
    )
