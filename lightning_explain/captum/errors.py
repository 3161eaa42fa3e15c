"""Errors that Captum raises as ``AssertionError``, of the right type as well."""


class ArgumentError(ValueError, AssertionError):
    """An argument does not fit."""


class ArgumentTypeError(TypeError, AssertionError):
    """An argument is of the wrong type."""


class SelectionError(IndexError, AssertionError):
    """A target or a neuron does not fit the tensor that it is read from."""
