"""The control plane: people, schools, lessons, library, messages, pages. Never imports `relay`."""
