"""What is raised for arguments that do not fit.

Captum raises ``AssertionError`` for most of them; scripts that catch it go on to work.
"""


class ArgumentError(ValueError, AssertionError):
    """An argument has the wrong shape or value."""


class ArgumentTypeError(TypeError, AssertionError):
    """An argument is of the wrong type."""


class SelectionError(IndexError, AssertionError):
    """A target, or a neuron, is not there."""
