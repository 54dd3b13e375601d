"""Where counters and entries are kept: the port, and what stands behind it."""
