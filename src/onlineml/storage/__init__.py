"""Reading many objects, publishing atomically, caching, and appending to logs on any fsspec filesystem."""
