"""Single values: how ids, numbers and cursors are checked, written and read."""
