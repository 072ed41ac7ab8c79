"""`classroom host SOURCE --lesson ID`: the command line of a host without a browser.

Lives here: arguments, their checks, opening the sources, signals, exit codes. Must not live here:
media or network code. Exit codes: 0 the source ended or Ctrl-C; 1 the relay or central school
refused; 2 the command or a source was wrong; 3 a fault of this program.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final, cast

from classroom.errors import ClassroomError, Misuse, Refused
from classroom.host.outlet import Codec, Name
from classroom.host.publisher import Publisher, unless_closed
from classroom.host.reader import MediaSource
from classroom.host.sources import Address, GeneratedLesson, Options, Source, parse_address
from classroom.host.whip import Place, lesson_place, sentence

log = logging.getLogger(__name__)

LESSON_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{2,39}")
TOKEN_VARIABLE: Final = "CLASSROOM_TOKEN"
CENTRAL_DEFAULT: Final = "http://127.0.0.1:8080"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `classroom host`."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a file, rtsp:// or http:// stream, v4l2:/dev/video0, alsa:default, or test:",
    )
    parser.add_argument("--lesson", required=True, metavar="ID", help="the lesson to publish")
    parser.add_argument("--whip", metavar="URL", help="publish straight to this WHIP endpoint")
    parser.add_argument(
        "--central",
        metavar="URL",
        help=f"start the lesson at this central school (default {CENTRAL_DEFAULT})",
    )
    parser.add_argument(
        "--token", metavar="T", help=f"a teacher's token; better in ${TOKEN_VARIABLE}"
    )
    parser.add_argument("--loop", action="store_true", help="play a file again and again")
    parser.add_argument("--voice-from", metavar="SOURCE", help="take the voice from here instead")
    parser.add_argument("--no-voice", action="store_true", help="publish the picture alone")
    parser.add_argument("--screen-from", metavar="SOURCE", help="publish this as the screen")
    parser.add_argument(
        "--screen", action="store_true", help="with test: show generated slides as the screen"
    )
    parser.add_argument(
        "--title", default="Classroom without walls", help="what test: writes in its picture"
    )
    parser.add_argument(
        "--codec", choices=("h264", "vp8"), default="h264", help="where coding is needed"
    )
    parser.add_argument("--size", default="1280x720", metavar="WxH", help="largest camera picture")
    parser.add_argument("--rate", type=float, default=25.0, help="camera pictures a second")
    parser.add_argument("--video-kbps", type=int, default=1200, help="camera bit rate")
    parser.add_argument("--screen-kbps", type=int, default=600, help="screen bit rate")
    parser.add_argument("--voice-kbps", type=int, default=32, help="voice bit rate")


def run(args: argparse.Namespace) -> int:
    """Publish until the source ends or a signal comes; returns the exit code."""
    try:
        options = _options(args)
        locate = _locator(args)
        return asyncio.run(_publish(args, options, locate))
    except Refused as error:
        print(f"classroom host: {sentence(error)}", file=sys.stderr)
        return 1
    except ClassroomError as error:
        print(f"classroom host: {sentence(error)}", file=sys.stderr)
        return 2
    except Exception as error:
        # A bug, here or in a source's thread: its trace is for the log, a person gets a sentence.
        log.exception("host.broke")
        text = f"something broke that should not ({error!r}); please report it with the lines above"
        print(f"classroom host: {text}.", file=sys.stderr)
        return 3


async def _publish(
    args: argparse.Namespace, options: Options, locate: Callable[[], Awaitable[Place]]
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(unless_closed)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    # Opening a stream or a device may take seconds; signals work meanwhile.
    sources = await asyncio.to_thread(open_sources, args, options)
    try:
        for source in sources:
            source.start()
        await Publisher(sources, locate).run(stop)
    finally:
        for source in sources:
            await asyncio.to_thread(source.stop)
    return 0


def open_sources(args: argparse.Namespace, options: Options) -> list[Source]:
    """The sources that the command line names, opened. Raises Misuse with a sentence."""
    main = parse_address(args.source)
    if args.no_voice and args.voice_from is not None:
        raise Misuse("--no-voice and --voice-from contradict each other; give one of them.")
    if args.screen and main.kind != "test":
        raise Misuse("--screen belongs to test:; name the screen's source with --screen-from.")
    if args.screen and args.screen_from is not None:
        raise Misuse("--screen and --screen-from contradict each other; give one of them.")
    own_voice = not args.no_voice and args.voice_from is None
    sources: list[Source] = []
    if main.kind == "test":
        if not own_voice:
            raise Misuse("test: comes with its own voice; leave --voice-from and --no-voice away.")
        sources.append(GeneratedLesson(options, screen=args.screen))
    else:
        sources.append(_media(main, options, voice=own_voice, picture="camera"))
    for text, voice, picture in (
        (args.voice_from, True, None),
        (args.screen_from, False, "screen"),
    ):
        if text is not None:
            extra = parse_address(text)
            if extra.kind == "test":
                raise Misuse("test: can only be the first SOURCE.")
            sources.append(_media(extra, options, voice=voice, picture=cast(Name | None, picture)))
    return sources


def _media(address: Address, options: Options, *, voice: bool, picture: Name | None) -> MediaSource:
    source = MediaSource(address, options, voice=voice, picture=picture)
    log.info("host.source source=%s tracks=%s", source.shown, source.describe())
    return source


def _options(args: argparse.Namespace) -> Options:
    size = re.fullmatch(r"(\d{2,4})x(\d{2,4})", args.size)
    if size is None:
        raise Misuse(f"--size {args.size} is not a picture size; write it like 1280x720.")
    width, height = int(size[1]) // 2 * 2, int(size[2]) // 2 * 2
    if width < 64 or height < 64 or width > 1920 or height > 1080:
        raise Misuse("--size must be between 64x64 and 1920x1080.")
    if not 1 <= args.rate <= 30:
        raise Misuse("--rate must be between 1 and 30 pictures a second.")
    limits = (
        ("--video-kbps", args.video_kbps, 50, 8000),
        ("--screen-kbps", args.screen_kbps, 50, 8000),
        ("--voice-kbps", args.voice_kbps, 6, 128),
    )
    for name, value, least, most in limits:
        if not least <= value <= most:
            raise Misuse(f"{name} must be between {least} and {most}.")
    return Options(
        video_codec=cast(Codec, args.codec),
        video_bit_rate=args.video_kbps * 1000,
        screen_bit_rate=args.screen_kbps * 1000,
        voice_bit_rate=args.voice_kbps * 1000,
        size=(width, height),
        rate=args.rate,
        loop=args.loop,
        title=args.title,
    )


def _locator(args: argparse.Namespace) -> Callable[[], Awaitable[Place]]:
    if not LESSON_ID.fullmatch(args.lesson):
        raise Misuse(
            f"“{args.lesson}” is not a lesson; its name has 3 to 40 of a-z, 0-9 and hyphens."
        )
    token = args.token or os.environ.get(TOKEN_VARIABLE)
    if args.whip is not None:
        if args.central is not None:
            raise Misuse("--whip and --central contradict each other; give one of them.")
        place = Place(args.whip, token)

        async def fixed() -> Place:
            return place

        return fixed
    central = args.central or CENTRAL_DEFAULT
    if token is None:
        raise Misuse(f"Starting a lesson needs a teacher's token: --token, or ${TOKEN_VARIABLE}.")

    async def ask() -> Place:
        return await lesson_place(central, args.lesson, token)

    return ask
