"""Where the built pages are, for the servers that hand them out.

Lives here: the path of `dist/`, which the build hook fills and the wheel carries. What must not:
anything that serves, builds or reads the pages. `dist/` holds `index.html`, `teach.html`,
`room.html` and `library.html` (served at `/`, `/teach`, `/room`, `/library`), `norelay.html` (in
place of a room's page that is nowhere), `assets/` whose file names carry a digest (served at
`/assets/`, may be cached for ever) and `favicon.svg`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

DIST: Final[Path] = Path(__file__).resolve().parent / "dist"
