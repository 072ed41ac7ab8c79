"""Tests by plane; `python -m tests` gets what they need and runs every one of them."""
