"""Finding and mending what differs: one counter, and all of them in a sweep."""
