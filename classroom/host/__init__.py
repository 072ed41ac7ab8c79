"""A host without a browser: a file, a camera or a generated lesson, published over WHIP.

Sources (`sources`, `test_lesson`) make encoded pieces on a worker thread, `outlet` hands them to
the event loop at the right moment, `whip` sends them through aiortc. `cli` ties them together.
"""
