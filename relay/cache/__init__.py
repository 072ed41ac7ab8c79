"""What a relay keeps of lessons: verified, under a quota, taken over part by part. CACHE.md."""
