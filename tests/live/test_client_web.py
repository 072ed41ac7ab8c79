"""The pages as they are built and delivered: what a browser would load, and from where.

Lives here: the build hook, the built files, the browser side's own tests (run by Vitest), the
wheel, and that the pages have words for what the servers refuse. Must not live here: pages at work
against a real control plane and relay.
"""

from __future__ import annotations

import ast
import gzip
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from client_web import DIST, build_hook

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "client_web"
# A link of 100 kbit/s carries this in about five seconds.
ROOM_FIRST_LOAD = 60_000
# Names of XML namespaces and of an event scheme: compared, never fetched.
NAMES = ("http://www.w3.org", "https://aomedia.org")
# Where what a page is told comes from.
REFUSING = ("classroom", "relay/web", "relay/transport", "relay/ipc.py")
# Packages of `classroom` that talk to programs and never to a page.
APART = ("archive", "host", "wire", "signalling")
# But what a name may be, which is refused to whoever adds a file to a lesson.
MET = (Path("classroom/archive/materials.py"),)
# Codes that no page meets, each with why.
UNMET = {
    "asset-unknown": "files, not calls",
    "body-malformed": "pages write JSON",
    "code-expired": "told to a school's relay",
    "code-malformed": "told to a school's relay",
    "code-unknown": "told to a school's relay",
    "code-used": "told to a school's relay",
    "ice-lite-peer": "browsers are full ICE agents",
    "keys-malformed": "told to a relay by itself",
    "lesson-exists": "pages leave the id to the server",
    "manifest-differs": "told to relays",
    "media-type-unsupported": "pages name the type",
    "method-not-allowed": "pages use the methods that there are",
    "relay-loop": "told to relays",
    "relay-not-enrolled": "told to a school's relay",
    "relay-not-root": "told to a school's relay",
    "relay-replaced": "told to relays",
    "relay-revoked": "told to a school's relay",
    "relay-too-deep": "told to relays",
    "too-many-tries": "told to who guesses codes",
    "trunk-answer": "told to relays",
    "trunk-malformed": "told to relays",
    "websocket-malformed": "told to other programs",
    "websocket-required": "told to other programs",
}


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    build_hook.build_pages(CLIENT, print)


def _assets(page: str) -> list[str]:
    html = (DIST / page).read_text(encoding="utf-8")
    return re.findall(r'(?:src|href)="([^"]+)"', html)


def _npm(*arguments: str) -> subprocess.CompletedProcess[str]:
    npm = shutil.which("npm")
    assert npm is not None
    return subprocess.run(
        [npm, *arguments],
        cwd=CLIENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


def test_the_browser_side_passes_its_own_tests() -> None:
    done = _npm("test")
    assert done.returncode == 0, done.stdout


def test_the_sources_are_formatted() -> None:
    done = _npm("run", "format:check")
    assert done.returncode == 0, done.stdout


def test_the_room_page_loads_within_sixty_kilobytes() -> None:
    files = [DIST / "room.html"]
    files += [DIST / address.removeprefix("/") for address in _assets("room.html")]
    size = sum(len(gzip.compress(file.read_bytes(), 9)) for file in files)
    assert size <= ROOM_FIRST_LOAD
    assert not any("hls" in file.name for file in files)


@pytest.mark.parametrize("page", build_hook.PAGES)
def test_a_page_loads_nothing_from_elsewhere_and_runs_no_inline_script(page: str) -> None:
    html = (DIST / page).read_text(encoding="utf-8")
    assert all(address.startswith("/") for address in _assets(page))
    assert all((DIST / address.removeprefix("/")).is_file() for address in _assets(page))
    policy = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]+)"', html)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert rules["style-src"] == "'self'"
    # What was fetched with a token and is shown in a frame: PDF of a lesson's materials.
    assert rules.get("frame-src", "blob:") == "blob:"
    assert "<style" not in html
    assert re.search(r"<script(?![^>]*\ssrc=)", html) is None
    assert '<html lang="vi">' in html


def test_the_built_files_name_no_other_host() -> None:
    named = [
        (file.name, address)
        for file in DIST.rglob("*")
        if file.suffix in {".js", ".css", ".html", ".svg"}
        for address in re.findall(r"https?://[\w-]+\.[\w.-]+", file.read_text(encoding="utf-8"))
        if address not in NAMES
    ]
    assert named == []


def _refusal_codes() -> set[str]:
    """Every code with which `Refused` is raised, directly or through a helper that takes it."""
    files = [ROOT / name for name in REFUSING if name.endswith(".py")]
    files += [file for name in REFUSING for file in (ROOT / name).rglob("*.py")]
    codes: set[str] = set()
    for file in files:
        if file.parent.name in APART and file.relative_to(ROOT) not in MET:
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            name = call.func.id if isinstance(call.func, ast.Name) else name
            if name.lower().strip("_") not in {"refused", "refuse"}:
                continue
            # Refused(status, code, …), refuse(code, …): a sentence is no code.
            texts = [word.value for word in call.args[:2] if isinstance(word, ast.Constant)]
            codes |= {
                text for text in texts if isinstance(text, str) and re.fullmatch("[a-z-]+", text)
            }
    return codes


def test_the_pages_have_words_for_what_the_servers_refuse() -> None:
    source = (CLIENT / "src/i18n/problems.ts").read_text(encoding="utf-8")
    worded = set(re.findall(r"^  '?([a-z-]+)'?: \{$", source, re.MULTILINE))
    codes = _refusal_codes() | {"absent"}
    assert {"lesson-taken", "token-expired", "sdp-malformed", "session-replaced"} <= codes
    unsaid = {code for code in codes - UNMET.keys() if not worded & {code, code.split("-")[0]}}
    assert unsaid == set()
    assert codes >= UNMET.keys()
    families = {code.split("-")[0] for code in codes}
    assert worded <= codes | families, "words for what nobody refuses"


def test_the_lock_file_names_no_download_host() -> None:
    lock = json.loads((CLIENT / "package-lock.json").read_text(encoding="utf-8"))
    assert lock["packages"]
    assert all("resolved" not in package for package in lock["packages"].values())


def test_the_wheel_carries_the_pages_and_not_their_sources(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    (wheel,) = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("client_web/")}
    built = {
        f"client_web/dist/{file.relative_to(DIST).as_posix()}"
        for file in DIST.rglob("*")
        if file.is_file()
    }
    beside = {"__init__.py", "build_hook.py", *(note.name for note in CLIENT.glob("*.md"))}
    assert names - built == {f"client_web/{name}" for name in beside}
    assert built <= names


def test_an_unchanged_tree_is_not_built_again() -> None:
    said: list[str] = []
    assert not build_hook.build_pages(CLIENT, said.append)
    assert said == []


def test_any_changed_source_asks_for_a_build(tmp_path: Path) -> None:
    tree = _sources(tmp_path)
    before = build_hook.source_digest(tree)
    assert build_hook.is_built(DIST, before)
    for name in ("src/room/stage.ts", "package-lock.json", "room.html", "vite.config.ts"):
        file = tree / name
        kept = file.read_bytes()
        file.write_bytes(kept + b"\n")
        assert not build_hook.is_built(DIST, build_hook.source_digest(tree)), name
        file.write_bytes(kept)
    (tree / "src" / "new.ts").write_text("export {}\n")
    assert not build_hook.is_built(DIST, build_hook.source_digest(tree))


def test_a_lost_or_changed_file_asks_for_a_build(tmp_path: Path) -> None:
    copy = tmp_path / "dist"
    shutil.copytree(DIST, copy)
    digest = build_hook.source_digest(CLIENT)
    assert build_hook.is_built(copy, digest)
    worker = (copy / "sw.js").read_text(encoding="utf-8")
    (copy / "sw.js").write_text("// another one\n", encoding="utf-8")
    assert not build_hook.is_built(copy, digest)
    (copy / "sw.js").write_text(worker, encoding="utf-8")
    assert build_hook.is_built(copy, digest)
    (copy / "teach.html").unlink()
    assert not build_hook.is_built(copy, digest)


def test_the_library_can_be_kept_whole() -> None:
    worker = (DIST / "sw.js").read_text(encoding="utf-8")
    assert set(_assets("library.html")) <= set(
        re.findall(r"/(?:assets|app)/[\w.-]+|/favicon.svg", worker)
    )


@pytest.mark.parametrize(
    ("programs", "words"),
    [
        ({}, "`node` was not found"),
        ({"node": "echo v22.12.0"}, "`npm` was not found"),
        ({"node": "echo v18.20.4", "npm": "exit 0"}, "this machine has Node v18.20.4"),
        ({"node": "echo v20.19.0", "npm": "echo no network; exit 7"}, "It printed:\nno network"),
    ],
)
def test_what_is_missing_is_said_in_a_plain_sentence(
    programs: dict[str, str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = _sources(tmp_path)
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, line in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(build_hook.BuildFailed, match=re.escape(words)):
        build_hook.build_pages(tree, lambda _line: None)


def _sources(where: Path) -> Path:
    """A copy of what the pages are built from, without anything built."""
    return Path(
        shutil.copytree(
            CLIENT,
            where / "client_web",
            ignore=shutil.ignore_patterns("node_modules", "dist", "__pycache__"),
        )
    )
