"""Recordings brought here over a weak link, from a sibling on the LAN, or on a drive."""
