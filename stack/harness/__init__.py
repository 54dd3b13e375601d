"""What drives the system and looks at it from outside, for tests and measurements."""
