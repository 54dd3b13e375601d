"""What can go wrong with the local stack. Every message is written for the person at the terminal."""


class StackError(Exception):
    """The local stack cannot start or go on; the message says what happened and what to do."""


class EmulatorUnavailableError(StackError):
    """An emulator needs something that this machine does not have."""
