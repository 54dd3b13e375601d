"""The whole system, for tests from outside."""

from tests.support.systems import stack, table

__all__ = ["stack", "table"]
