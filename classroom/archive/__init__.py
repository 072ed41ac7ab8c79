"""A lesson as stored: names, header, journal, manifest, digests, event log. CONTRACT, PURE.

`FORMAT.md` beside this file is the document; the code here reads and writes what it says and knows
no files, no sockets and no clock. The recorder writes archives with it, relays serve and copy them.
"""
