"""Group commit: creates of one counter wait in a lane, which decides and writes for all of them at once."""
