"""The core, with nothing but Python."""
