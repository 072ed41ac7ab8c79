"""What a relay keeps: atomic writes (`files`), and later the index of what is cached."""
