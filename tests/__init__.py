"""Tests: see tests/conftest.py for what all of them get."""
