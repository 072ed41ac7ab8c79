"""A file over HTTP whose entity tag is its digest, so that every relay's copy has the same one."""

from __future__ import annotations

from pathlib import Path

from aiohttp import ETag, web


class DigestFile(web.FileResponse):
    """By `sendfile`, also in parts (RFC 9110 14)."""

    def __init__(self, path: Path, digest: str, headers: dict[str, str]) -> None:
        super().__init__(path, headers=headers)
        self.digest = digest

    @property
    def etag(self) -> ETag | None:
        return ETag(value=self.digest)

    @etag.setter
    def etag(self, value: ETag | str | None) -> None:
        """aiohttp sets one from the file's date and size; ours stays."""
        self.headers["ETag"] = f'"{self.digest}"'
