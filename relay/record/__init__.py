"""The recorder: forwarded RTP in, CMAF segments and a journal out.

What it writes is described in `classroom/archive/FORMAT.md`. Shells: `store` (files), `session` and
`recorder` (asyncio), `transcode` and `transcode_worker` (a process). All else is pure; read it in
the order feed, reorder, assemble, join, voice, pipeline, rendition, cmaf, lesson; then layers, hls,
fill.
"""
