"""`python -m tests.bench codecs`: what each video codec gives a room, and what it costs.

For each codec and each layer of the teacher page, then for all layers at once as simulcast, a real
Chromium teaches and another watches (see `codec_pair`); then Opus at several rates, with and
without redundancy. Codecs take turns within a round and begin each round with another, so that a
busy machine hurts all alike; figures are medians over the rounds. `client_web/CODECS.md` keeps a
run and says what follows from it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections import defaultdict
from typing import Any, Final

from tests.bench.codec_pair import Layer, Pair, Statistics, open_pair

CODECS: Final = {"vp8": "video/vp8", "vp9": "video/vp9", "h264": "video/h264", "av1": "video/av1"}
# As CAMERA_ENCODINGS of client_web/src/webrtc/whip.ts, at the pace of a cheap camera.
LAYERS: Final = (
    Layer("q", 180, 120_000),
    Layer("h", 360, 350_000),
    Layer("f", 720, 1_200_000),
)
VOICES: Final = [(rate * 1000, red) for rate in (32, 24, 16) for red in (False, True)]
# One beat of a lesson; also the length of the footage, so that each window sees all of it.
_BEAT_SECONDS: Final = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `codecs`."""
    parser.add_argument(
        "--seconds", type=float, default=_BEAT_SECONDS, help="of each window; two a measurement"
    )
    parser.add_argument("--rounds", type=int, default=3, help="figures are medians over these")
    parser.add_argument("--codecs", default=",".join(CODECS), help="which, e.g. vp9,h264")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    names = args.codecs.split(",")
    unknown = set(names) - set(CODECS)
    if unknown:
        print(f"No such codec: {', '.join(sorted(unknown))}. There are {', '.join(CODECS)}.")
        return 2
    result = asyncio.run(measure(names, args.seconds, args.rounds))
    if args.json:
        print(json.dumps(result))
    else:
        _print(result)
    return 0


async def measure(names: list[str], seconds: float, rounds: int) -> Statistics:
    """{"single": {codec: {rid: figures}}, "simulcast": {codec: figures}, "voice": [figures]}."""
    single: dict[tuple[str, str], list[Statistics]] = defaultdict(list)
    simulcast: dict[str, list[Statistics]] = defaultdict(list)
    voices: list[list[Statistics]] = []
    async with open_pair(_BEAT_SECONDS) as pair:
        for number in range(rounds):
            turn = number % len(names)
            order = names[turn:] + names[:turn]
            idle = await pair.idle(seconds)
            for layer in LAYERS:
                for name in order:
                    taken = await _single(pair, name, layer, seconds)
                    single[name, layer.rid].append(_net(taken, idle))
            for name in order:
                taken = await pair.video(CODECS[name], list(LAYERS), seconds)
                layers = {f"{rid}_{key}": value for rid, key, value in _flat(taken["layers"])}
                simulcast[name].append(_net(taken, idle) | layers)
            voices.append(await pair.voice(VOICES, seconds))
            print(f"round {number + 1} of {rounds} done", file=sys.stderr)
    return {
        "rounds": rounds,
        "seconds": seconds,
        "single": {
            name: {layer.rid: _medians(single[name, layer.rid]) for layer in LAYERS}
            for name in names
        },
        "simulcast": {name: _medians(simulcast[name]) for name in names},
        "voice": [_medians(list(one)) for one in zip(*voices, strict=True)],
    }


async def _single(pair: Pair, name: str, layer: Layer, seconds: float) -> Statistics:
    taken = await pair.video(CODECS[name], [layer], seconds)
    return {**taken, **taken["layers"][layer.rid]}


def _net(taken: Statistics, idle: Statistics) -> Statistics:
    """`taken` with the processor time of browsers that do nothing but show a camera taken off."""
    result = {name: value for name, value in taken.items() if name != "layers"}
    for side in ("teacher", "room"):
        result[f"{side}_cpu"] -= idle[f"{side}_cpu"]
        if "frames_s" in result:
            # One picture from camera to network, and from there to the decoded picture.
            result[f"{side}_cpu_ms"] = result[f"{side}_cpu"] / max(1.0, result["frames_s"])
    return result


def _flat(layers: dict[str, Statistics]) -> list[tuple[str, str, Any]]:
    return [(rid, key, value) for rid, one in layers.items() for key, value in one.items()]


def _medians(rows: list[Statistics]) -> Statistics:
    """Of each figure the median; of each word the last one seen."""
    result: Statistics = {}
    for key, last in rows[-1].items():
        if isinstance(last, int | float) and not isinstance(last, bool):
            result[key] = statistics.median(row[key] for row in rows)
        else:
            result[key] = last
    return result


def _print(result: Statistics) -> None:
    """Tables in Markdown."""
    heads = ("layer", "codec", "kbit/s", "frames/s", "PSNR dB", "SSIM", "worst tenth")
    times = ("encode ms", "decode ms", "teacher CPU ms", "room CPU ms", "keyframe kB")
    _row(*heads, *times)
    _row(*["---"] * (len(heads) + len(times)))
    for layer in LAYERS:
        for name, layers in result["single"].items():
            one = layers[layer.rid]
            _row(
                layer.lines,
                f"{name} {one['mode']}",
                f"{one['kbit_s']:.0f}",
                f"{one['frames_s']:.1f}",
                f"{one['psnr']:.1f}",
                f"{one['ssim']:.3f}",
                f"{one['ssim_low']:.3f}",
                f"{one['encode_ms']:.1f}",
                f"{one['decode_ms']:.1f}",
                f"{one['teacher_cpu_ms']:.1f}",
                f"{one['room_cpu_ms']:.1f}",
                f"{one['keyframe_bytes'] / 1e3:.1f}",
            )
    print()
    lines = [layer.lines for layer in LAYERS]
    costs_of = ("all layers", "teacher CPU", "CPU ms a picture", "ratio to VP8", "frames/s 720")
    ssims = [*(f"SSIM {one}" for one in lines), *(f"worst tenth {one}" for one in lines)]
    _row(*costs_of, *ssims)
    _row(*["---"] * (len(costs_of) + len(ssims)))
    # An encoder that drops pictures looks cheap, so the ratio is of the cost of one.
    rows: dict[str, Statistics] = result["simulcast"]
    costs = {name: one["teacher_cpu"] / one["f_frames_s"] for name, one in rows.items()}
    for name, one in rows.items():
        _row(
            name,
            f"{one['teacher_cpu'] / 10:.0f} %",
            f"{costs[name]:.1f}",
            f"{costs[name] / costs['vp8']:.2f}" if "vp8" in costs else "",
            f"{one['f_frames_s']:.1f}",
            *(f"{one[f'{layer.rid}_ssim']:.3f}" for layer in LAYERS),
            *(f"{one[f'{layer.rid}_ssim_low']:.3f}" for layer in LAYERS),
        )
    print()
    _row("Opus kbit/s", "RED", "packets/s", "bytes/s on the wire", "kbit/s on the wire")
    _row(*["---"] * 5)
    for one in result["voice"]:
        wire = one["wire_bytes_s"]
        packets = f"{one['packets_s']:.0f}"
        red = "yes" if one["red"] else "no"
        _row(f"{one['kbit_s']:.0f}", red, packets, f"{wire:.0f}", f"{wire * 8 / 1e3:.0f}")


def _row(*cells: object) -> None:
    print(f"| {' | '.join(str(cell) for cell in cells)} |")
