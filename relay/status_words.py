"""What `classroom-relay status` says, in Vietnamese and in English. Pure.

For an ordinary teacher who looks after the machine: what is so, then what to do. The page `/status`
has its own words for the same names (client_web/src/i18n). Sentences only; facts come as the status
document of `relay.web.status` or, of a relay that does not run, of `status_command`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

_VI: Final[dict[str, str]] = {
    "title": "Máy chủ lớp học “{name}”",
    "stopped": "Máy chủ lớp học trên máy này",
    "yes": "tốt",
    "no": "chưa được",
    "unknown": "chưa biết",
    "parent": "Nối về",
    "parent-up": "{host}: đang nối, từ {since}",
    "parent-central": (
        "{host}: đang nối, từ {since}; nhưng nơi ấy chưa liên lạc được với trường trung tâm"
    ),
    "parent-down": "{host}: mất liên lạc từ {since}",
    "central-up": "trường trung tâm ({host}): đang nối",
    "central-down": "trường trung tâm ({host}): mất liên lạc",
    "link": "Đường truyền",
    "link-rate": "{rate} kbit/s",
    "link-round-trip": "trễ khứ hồi {ms} ms",
    "link-loss": "mất {percent} %",
    "lessons": "Bài giảng đang giữ",
    "lessons-are": "{held} bài, {bytes}",
    "live": "Đang dạy",
    "live-are": "{live} bài, {rooms} lớp đang xem",
    "space": "Chỗ trên đĩa",
    "space-is": "còn trống {free}",
    "space-quota": "được dùng {quota} cho bài giảng",
    "sync": "Tải bài về",
    "sync-idle": "đã đủ, không còn gì phải tải",
    "sync-fetching": "đang tải",
    "sync-waiting": "đang chờ nơi có bài",
    "sync-live": "tạm dừng: đang có bài dạy trực tiếp",
    "sync-window": "đang chờ đến giờ được tải",
    "sync-budget": "đã tải hết phần của hôm nay",
    "sync-disk": "tạm dừng: đĩa không ghi được",
    "sync-import": "tạm dừng: đang chép từ ổ USB",
    "sync-starting": "đang bắt đầu",
    "sync-left": "còn {lessons} bài, {bytes}",
    "sync-finish": "xong vào khoảng {at}",
    "materials": "Học liệu",
    "materials-none": "chưa có bài sắp tới nào kèm học liệu",
    "materials-whole": "của {lessons} bài sắp tới: đã đủ",
    "materials-some": "của {lessons} bài sắp tới: {whole} bài đã đủ",
    "materials-left": "đang tải về {files} tệp ({bytes})",
    "materials-no-room-for": "chưa đủ chỗ cho {files} tệp ({bytes}) của {lessons} bài",
    "materials-lists": "đang hỏi danh sách của {lists} bài",
    "power": "Lần mất điện gần nhất",
    "power-none": "chưa có lần nào được ghi lại",
    "power-power": "{at}, máy chạy lại lúc {back}",
    "power-killed": "không phải mất điện: chương trình bị ngắt lúc {at}, chạy lại lúc {back}",
    "todo": "Cần làm",
    "all-well": "Mọi việc đều tốt. Không cần làm gì.",
    "media-down": (
        "Phần phát bài trực tiếp đang không chạy. Nó tự khởi động lại trong vài giây. Nếu"
        " một phút sau vẫn vậy: khởi động lại máy (sudo reboot)."
    ),
    "recorder-down": (
        "Bài đang dạy không được ghi lại. Phần ghi tự khởi động lại trong vài giây. Nếu "
        "một phút sau vẫn vậy: sudo systemctl restart classroom-relay."
    ),
    "disk-full": (
        "Đĩa đầy hoặc không ghi được, nên không ghi và không tải được bài. Hãy xoá những "
        "gì không thuộc về lớp học trên đĩa này, hoặc thay đĩa lớn hơn."
    ),
    "code-refused": (
        "Mã đăng ký không dùng được. Hãy gọi trường trung tâm xin mã mới, ghi vào "
        "/etc/classroom/relay.toml (dòng code), rồi: sudo systemctl restart "
        "classroom-relay."
    ),
    "taken-back": (
        "Trường trung tâm đã thu hồi đăng ký của máy này. Bài đã có ở đây vẫn xem được. "
        "Hãy gọi trường trung tâm xin mã mới, ghi vào /etc/classroom/relay.toml (dòng "
        "code), rồi: sudo systemctl restart classroom-relay."
    ),
    "wrong-parent": (
        "Máy ở địa chỉ nơi phát bài không phát cho máy này được. Hãy hỏi trường trung tâm "
        "địa chỉ đúng, ghi vào /etc/classroom/relay.toml (dòng parents), rồi: sudo "
        "systemctl restart classroom-relay."
    ),
    "not-enrolled": (
        "Máy này chưa đăng ký được với trường trung tâm. Hãy xem mạng có vào được không; "
        "máy sẽ tự thử lại."
    ),
    "parent-away": (
        "Mất liên lạc với nơi phát bài. Bài đã có ở đây vẫn xem được. Hãy xem đèn và dây "
        "của bộ phát mạng; máy sẽ tự nối lại."
    ),
    "central-away": (
        "Mất liên lạc với trường trung tâm. Bài đang dạy và bài đã có vẫn tiếp tục. Hãy "
        "xem mạng của máy này và máy chủ của trường trung tâm."
    ),
    "school-away": (
        "Nơi phát bài chưa liên lạc được với trường trung tâm. Ở đây không cần làm gì; "
        "nếu kéo dài, hãy báo cho trường trung tâm."
    ),
    "disk-low": "Đĩa sắp đầy. Hãy xoá những gì không thuộc về lớp học trên đĩa này.",
    "disk-damaged": (
        "Đĩa này đã làm hỏng vài phần của bài giảng. Chúng được tải lại, nhưng đĩa có thể"
        " sắp hỏng: hãy chuẩn bị thay đĩa hoặc thẻ nhớ."
    ),
    "materials-no-room": (
        "Không đủ chỗ cho học liệu của bài sắp dạy, nên lớp học sẽ thiếu tệp. Hãy tăng "
        "materials_gb trong /etc/classroom/relay.toml, hoặc xoá bớt trên đĩa, rồi: sudo "
        "systemctl restart classroom-relay."
    ),
    "power-often": (
        "Máy này mất điện nhiều lần trong 30 ngày. Bài giảng không hỏng, nhưng đĩa sẽ "
        "nhanh hỏng. Nên có bộ lưu điện nhỏ; và tắt máy bằng lệnh, đừng rút điện."
    ),
    "restarts-often": (
        "Chương trình phải khởi động lại nhiều lần. Hãy báo cho trường trung tâm kèm: "
        "journalctl -u classroom-relay."
    ),
    "clock-wrong": (
        "Đồng hồ của máy sai ngày giờ. Khi có mạng, máy tự chỉnh; nếu không, máy cần pin "
        "đồng hồ mới."
    ),
    "source-rubbish": (
        "Có nơi gửi bài bị hỏng. Phần hỏng không được nhận và sẽ được lấy ở nơi khác. Nếu"
        " kéo dài, hãy báo cho trường trung tâm."
    ),
    "power-cut": "Máy vừa bị mất điện. Bài giảng đã được kiểm tra và tự sửa; không cần làm gì.",
    "was-killed": "Chương trình bị ngắt giữa chừng và đã chạy lại; không cần làm gì.",
    "quota-full": (
        "Chỗ dành cho bài giảng đã đầy: bài lâu không ai xem được bỏ đi để lấy chỗ, và có"
        " thể tải lại. Muốn giữ nhiều hơn: tăng quota_gb hoặc thay đĩa lớn hơn."
    ),
    "not-running": (
        "Máy chủ lớp học không chạy. Hãy chạy: sudo systemctl start classroom-relay. Nếu "
        "nó lại dừng: journalctl -u classroom-relay cho biết vì sao."
    ),
    "was-cut-off": (
        "Máy chủ lớp học bị ngắt giữa chừng (mất điện hoặc bị tắt) và chưa chạy lại. Hãy "
        "chạy: sudo systemctl start classroom-relay. Bài giảng sẽ tự được sửa."
    ),
    "not-answering": (
        "Máy chủ lớp học đang chạy nhưng không trả lời. Hãy đợi một phút rồi thử lại; nếu"
        " vẫn vậy: sudo systemctl restart classroom-relay."
    ),
}
_EN: Final[dict[str, str]] = {
    "title": "Relay “{name}”",
    "stopped": "The relay on this machine",
    "yes": "well",
    "no": "not well",
    "unknown": "not known yet",
    "parent": "Takes lessons from",
    "parent-up": "{host}: connected since {since}",
    "parent-central": "{host}: connected since {since}; but it does not reach the central school",
    "parent-down": "{host}: out of reach since {since}",
    "central-up": "central school ({host}): connected",
    "central-down": "central school ({host}): out of reach",
    "link": "Link",
    "link-rate": "{rate} kbit/s",
    "link-round-trip": "round trip {ms} ms",
    "link-loss": "{percent} % lost",
    "lessons": "Lessons held",
    "lessons-are": "{held} lessons, {bytes}",
    "live": "Live now",
    "live-are": "{live} lessons, {rooms} rooms watching",
    "space": "Space on the disk",
    "space-is": "{free} free",
    "space-quota": "{quota} may be used for lessons",
    "sync": "Fetching",
    "sync-idle": "all here, nothing left to fetch",
    "sync-fetching": "under way",
    "sync-waiting": "waiting for somebody who has the lessons",
    "sync-live": "paused: a lesson is live",
    "sync-window": "waiting for the hours in which it may",
    "sync-budget": "today's share is used up",
    "sync-disk": "paused: the disk takes nothing",
    "sync-import": "paused: lessons are copied from a USB drive",
    "sync-starting": "starting",
    "sync-left": "{lessons} lessons left, {bytes}",
    "sync-finish": "done at about {at}",
    "materials": "Learning materials",
    "materials-none": "no coming lesson has any",
    "materials-whole": "of {lessons} coming lessons all here",
    "materials-some": "of {lessons} coming lessons {whole} all here",
    "materials-left": "{files} files ({bytes}) on the way",
    "materials-no-room-for": "no room yet for {files} files ({bytes}) of {lessons} lessons",
    "materials-lists": "the lists of {lists} lessons on the way",
    "power": "Last power cut",
    "power-none": "none on record",
    "power-power": "{at}, running again at {back}",
    "power-killed": "no power cut: the program was cut off at {at} and ran again at {back}",
    "todo": "What to do",
    "all-well": "All is well. Nothing to do.",
    "media-down": (
        "The part that carries live lessons does not run. It starts again by itself "
        "within seconds. If not within a minute: restart the machine (sudo reboot)."
    ),
    "recorder-down": (
        "The lesson that is taught is not recorded. The recorder starts again by itself "
        "within seconds. If not within a minute: sudo systemctl restart classroom-relay."
    ),
    "disk-full": (
        "The disk is full or takes nothing, so nothing is recorded or fetched. Delete "
        "what does not belong to lessons from this disk, or use a larger one."
    ),
    "code-refused": (
        "The enrolment code is no good. Call the central school for a new one, write it "
        "into /etc/classroom/relay.toml (code), then: sudo systemctl restart "
        "classroom-relay."
    ),
    "taken-back": (
        "The central school took this machine's enrolment back. Lessons that are here can "
        "be watched. Call the central school for a new code, write it into "
        "/etc/classroom/relay.toml (code), then: sudo systemctl restart classroom-relay."
    ),
    "wrong-parent": (
        "The machine at the parent's address cannot be this one's parent. Ask the central "
        "school for the right address, write it into /etc/classroom/relay.toml (parents), "
        "then: sudo systemctl restart classroom-relay."
    ),
    "not-enrolled": (
        "This machine could not enrol with the central school yet. See whether it has "
        "internet; it goes on trying."
    ),
    "parent-away": (
        "The relay above is out of reach. Lessons that are here can be watched. Look at "
        "the router's lights and cables; the connection comes back by itself."
    ),
    "central-away": (
        "The central school is out of reach. Lessons that run and recordings go on. Look "
        "at this machine's network and at the central school's server."
    ),
    "school-away": (
        "The relay above does not reach the central school. Nothing to do here; if it "
        "lasts, tell the central school."
    ),
    "disk-low": "The disk is nearly full. Delete what does not belong to lessons from it.",
    "disk-damaged": (
        "This disk has damaged parts of lessons. They are fetched again, but the disk may"
        " fail soon: get a new disk or card ready."
    ),
    "materials-no-room": (
        "There is no room for the learning materials of a lesson that is taught soon, so its "
        "class will lack files. Raise materials_gb in /etc/classroom/relay.toml, or delete "
        "something from the disk, then: sudo systemctl restart classroom-relay."
    ),
    "power-often": (
        "This machine lost its power several times within 30 days. Lessons survive that, "
        "disks do not for long. Get a small battery (UPS); shut it down by command, do "
        "not pull the plug."
    ),
    "restarts-often": (
        "The program had to start again several times. Tell the central school, with: "
        "journalctl -u classroom-relay."
    ),
    "clock-wrong": (
        "The machine's clock shows a wrong date. With internet it sets itself; else it "
        "needs a new clock battery."
    ),
    "source-rubbish": (
        "Somebody sends damaged lessons. They are refused and fetched elsewhere. If it "
        "lasts, tell the central school."
    ),
    "power-cut": "The power was cut. Lessons were checked and mended; nothing to do.",
    "was-killed": "The program was cut off and runs again; nothing to do.",
    "quota-full": (
        "The space for lessons is used up: those that nobody watched for long make room, "
        "and can be fetched again. To keep more: raise quota_gb or use a larger disk."
    ),
    "not-running": (
        "The relay does not run. Start it: sudo systemctl start classroom-relay. If it "
        "stops again, journalctl -u classroom-relay says why."
    ),
    "was-cut-off": (
        "The relay was cut off (a power cut, or it was killed) and does not run. Start "
        "it: sudo systemctl start classroom-relay. Lessons mend themselves."
    ),
    "not-answering": (
        "The relay runs but does not answer. Wait a minute and try again; then: sudo "
        "systemctl restart classroom-relay."
    ),
}
LANGUAGES: Final[Mapping[str, Mapping[str, str]]] = {"vi": _VI, "en": _EN}

_MARKS: Final = {"bad": "✗", "warn": "!", "note": "·"}
_WIDTH: Final = 24


def describe(facts: Mapping[str, Any], language: str) -> str:
    """A running relay's facts as lines."""
    words = LANGUAGES[language]
    rows = [
        (words["parent"], _parent(facts, words)),
        (words["link"], _link(facts["link"], words)),
        (words["live"], words["live-are"].format(**facts["lessons"])),
        (words["lessons"], _lessons(facts["lessons"], words)),
        (words["space"], _space(facts["space"], words)),
    ]
    if facts["sync"] is not None:
        rows.append((words["sync"], _sync(facts["sync"], words)))
    rows.append((words["materials"], _materials(facts["materials"], words)))
    rows.append((words["power"], _power(facts["power"]["last"], words)))
    title = words["title"].format(name=facts["name"])
    return "\n".join([title, *_rows(rows), "", *_advice(facts, words)])


def describe_stopped(facts: Mapping[str, Any], language: str) -> str:
    """What is seen of a relay that does not answer, as lines."""
    words = LANGUAGES[language]
    rows = [
        (words["lessons"], str(facts["lessons"]["held"])),
        (words["space"], words["space-is"].format(free=size(facts["space"]["free"]))),
        (words["power"], _power(facts["power"]["last"], words)),
    ]
    return "\n".join([words["stopped"], *_rows(rows), "", *_advice(facts, words)])


def _rows(rows: list[tuple[str, str]]) -> list[str]:
    return [f"  {label + ':':<{_WIDTH}} {text}" for label, text in rows]


def _advice(facts: Mapping[str, Any], words: Mapping[str, str]) -> list[str]:
    told = [f"  {_MARKS[one['level']]} {words[one['name']]}" for one in facts["advice"]]
    return [f"{words['todo']}:", *told]


def _parent(facts: Mapping[str, Any], words: Mapping[str, str]) -> str:
    parent = facts["parent"]
    if parent is None:
        central = facts["central"]
        state = "central-up" if central["connected"] else "central-down"
        return words[state].format(host=_host(central["url"]))
    state = "parent-down"
    if parent["connected"]:
        state = "parent-up" if parent["reached"] else "parent-central"
    return words[state].format(host=_host(parent["url"]), since=_date(parent["since"]))


def _link(link: Mapping[str, Any], words: Mapping[str, str]) -> str:
    parts = []
    if link["rate"] is not None:
        parts.append(words["link-rate"].format(rate=round(link["rate"] / 1000)))
    if link["round_trip"] is not None:
        parts.append(words["link-round-trip"].format(ms=round(1000 * link["round_trip"])))
    if link["loss"] is not None:
        parts.append(words["link-loss"].format(percent=f"{100 * link['loss']:.1f}"))
    return ", ".join(parts) or words["unknown"]


def _lessons(lessons: Mapping[str, Any], words: Mapping[str, str]) -> str:
    return words["lessons-are"].format(held=lessons["held"], bytes=size(lessons["bytes"]))


def _space(space: Mapping[str, Any], words: Mapping[str, str]) -> str:
    text = words["space-is"].format(free=size(space["free"]))
    if space["quota"]:
        text += "; " + words["space-quota"].format(quota=size(space["quota"]))
    return text


def _sync(sync: Mapping[str, Any], words: Mapping[str, str]) -> str:
    parts = [words[f"sync-{sync['state']}"]]
    if sync["lessons_left"]:
        left = {"lessons": sync["lessons_left"], "bytes": size(sync["bytes_left"])}
        parts.append(words["sync-left"].format(**left))
    if sync["finish_at"] is not None:
        parts.append(words["sync-finish"].format(at=_date(sync["finish_at"])))
    return "; ".join(parts)


def _materials(materials: Mapping[str, Any], words: Mapping[str, str]) -> str:
    if not materials["lessons"]:
        return words["materials-none"]
    if materials["whole"] == materials["lessons"]:
        return words["materials-whole"].format(**materials)
    parts = [words["materials-some"].format(**materials)]
    without, bytes_without = materials["files_without_room"], materials["bytes_without_room"]
    if files := materials["files_left"] - without:
        left = {"files": files, "bytes": size(materials["bytes_left"] - bytes_without)}
        parts.append(words["materials-left"].format(**left))
    if without:
        left = {"files": without, "bytes": size(bytes_without)}
        lessons = materials["lessons_without_room"]
        parts.append(words["materials-no-room-for"].format(lessons=lessons, **left))
    if materials["lists_left"]:
        parts.append(words["materials-lists"].format(lists=materials["lists_left"]))
    return "; ".join(parts)


def _power(last: Mapping[str, Any] | None, words: Mapping[str, str]) -> str:
    if last is None:
        return words["power-none"]
    at = _date(last["at"]) if last["at"] is not None else words["unknown"]
    return words[f"power-{last['kind']}"].format(at=at, back=_date(last["back_at"]))


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def _date(at: float) -> str:
    """In the machine's own time zone; days come first in both languages."""
    return datetime.fromtimestamp(at).strftime("%d/%m/%Y %H:%M")


def size(number: float) -> str:
    """Bytes for people."""
    for unit, word in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= unit:
            return f"{number / unit:.1f} {word}"
    return f"{number:.0f} B"
