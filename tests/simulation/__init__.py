"""Random histories of the real engine under virtual time."""
