"""Tests that need a LocalStack, which they do not bring along."""
