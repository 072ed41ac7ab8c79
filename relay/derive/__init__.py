"""Layers made of a lesson's sources for weak links: a thin voice, and a ladder of small pictures.

Lives here: the worker process that decodes and encodes again (`worker`), its wire (`wire`), and
who starts it (`keeper`). Must not live here: forwarding; what a room receives (relay.sfu). What
comes out is one more layer of its source, so nothing but the worker ever decodes.
"""
