"""From pictures and text to the loggers' own formats: one file per logger, and one line in the table below."""

from collections.abc import Sequence
from typing import Protocol

from lightning_explain.loggers import dummy, tensorboard
from lightning_explain.render.picture import Picture


class Backend(Protocol):
    """What a logger's file offers; its ``logger`` is what the trainer holds."""

    def write_pictures(self, logger: object, pictures: Sequence[Picture], step: int) -> None:
        """Write every picture at ``step``."""

    def write_text(self, logger: object, tag: str, markdown: str, step: int) -> None:
        """Write a text at ``step``."""


# By class name: the same logger exists in lightning.pytorch, pytorch_lightning and lightning.fabric, as classes
# that have no base in common.
BACKENDS: dict[str, Backend] = {
    "TensorBoardLogger": tensorboard,
    "DummyLogger": dummy,
}


def write_pictures(logger: object, pictures: Sequence[Picture], step: int) -> bool:
    """Write pictures to a logger.

    Returns:
        Whether this logger can; False leaves it as it was.
    """
    backend = _backend(logger)
    if backend is not None:
        backend.write_pictures(logger, pictures, step)
    return backend is not None


def write_text(logger: object, tag: str, markdown: str, step: int) -> bool:
    """Write a text in Markdown to a logger.

    Returns:
        Whether this logger can; False leaves it as it was.
    """
    backend = _backend(logger)
    if backend is not None:
        backend.write_text(logger, tag, markdown, step)
    return backend is not None


def _backend(logger: object) -> Backend | None:
    names = (cls.__name__ for cls in type(logger).__mro__)
    return next((BACKENDS[name] for name in names if name in BACKENDS), None)
