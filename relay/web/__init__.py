"""Pages and files over HTTP on the LAN: archives, health, metrics."""
