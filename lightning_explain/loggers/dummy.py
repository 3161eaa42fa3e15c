"""The logger that stands in during ``fast_dev_run``: everything is written, nowhere."""

from collections.abc import Sequence

from lightning_explain.render.picture import Picture


def write_pictures(logger: object, pictures: Sequence[Picture], step: int) -> None:
    """Write nothing."""


def write_text(logger: object, tag: str, markdown: str, step: int) -> None:
    """Write nothing."""
