"""The whole system, tested from outside."""
