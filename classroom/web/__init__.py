"""The control plane's HTTP side: pages, API, WebSockets, metrics; aiohttp lives here only.

`app` puts the parts together, `desk` moves lessons, `hub` tells pages and relays of changes,
`serve` and `link` are the two commands. Rules of lessons, links and conversations live in the
pure packages, storage in `classroom.store`.
"""
