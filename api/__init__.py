"""The HTTP API: thin edges over the core (``docs/design/engine.md``, section 8)."""
