"""The recorder: forwarded RTP in, CMAF segments and a journal out.

What it writes is described in `classroom/archive/FORMAT.md`.

Pure here: `feed`, `reorder`, `assemble`, `timeline`, `cmaf`, `rendition`, `lesson`, `hls`.
Shells: `store` (files), `transcode` (a worker process), `recorder` (asyncio).
"""
