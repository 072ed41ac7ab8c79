"""Structured logs: one JSON object a line on standard error.

`event` writes a line when a lesson, page or relay begins or ends; per-message facts are counters
in `metrics`. Never log a token or a link.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

LOG = logging.getLogger("classroom")


class JsonFormatter(logging.Formatter):
    """A record as `{"time", "level", "event", …}` with what `event` was given."""

    def format(self, record: logging.LogRecord) -> str:
        """One line without line breaks."""
        time = datetime.fromtimestamp(record.created, UTC)
        entry: dict[str, object] = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        entry.update(getattr(record, "facts", {}))
        if record.name != LOG.name:
            entry["logger"] = record.name
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def event(name: str, /, *, level: int = logging.INFO, **facts: object) -> None:
    """Write one line: `name` in kebab-case ("lesson-live") and its facts."""
    LOG.log(level, name, extra={"facts": facts})


def set_up(level: str) -> None:
    """Send all logs of the process to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
