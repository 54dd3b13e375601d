"""The HTTP API: thin edges over the core (``docs/design.md``, section 8)."""
