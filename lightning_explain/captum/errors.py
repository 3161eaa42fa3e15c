"""What is wrong with an argument: of the right type, and still caught by those who wait for Captum's assertions."""


class ArgumentError(ValueError, AssertionError):
    """An argument has a value that it cannot have."""


class ArgumentTypeError(TypeError, AssertionError):
    """An argument has a type that it cannot have."""


class SelectionError(IndexError, AssertionError):
    """What was selected is not there."""
