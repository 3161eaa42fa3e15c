"""TensorBoard: pictures as PNG summaries, with their description behind the info icon."""

import importlib
from collections.abc import Sequence
from typing import Protocol, cast

from tensorboard.compat.proto.summary_pb2 import (  # type: ignore[attr-defined]  # (classes made at import)
    DATA_CLASS_BLOB_SEQUENCE,
    Summary,
)
from tensorboard.plugins.image.metadata import create_summary_metadata

from lightning_explain.render.picture import Picture, png


class Writer(Protocol):
    """What is used of torch's and tensorboardX's ``SummaryWriter``."""

    def add_text(self, tag: str, text_string: str, global_step: int | None = None) -> None:
        """Write a text."""

    def flush(self) -> None:
        """Bring everything to the disk."""


class _Logger(Protocol):
    @property
    def experiment(self) -> Writer: ...


class _FileWriter(Protocol):
    def add_summary(self, summary: object, global_step: int | None = None) -> None: ...


def write_pictures(logger: object, pictures: Sequence[Picture], step: int) -> None:
    """Write every picture at ``step``, under its tag, and flush.

    A step that is smaller than the last one makes TensorBoard forget what came after it.
    """
    writer = cast("_Logger", logger).experiment
    for picture in pictures:
        _add_summary(writer, _summary(picture), step)
    writer.flush()


def write_text(logger: object, tag: str, markdown: str, step: int) -> None:
    """Write a text at ``step``; TensorBoard shows it as ``<tag>/text_summary``."""
    cast("_Logger", logger).experiment.add_text(tag, markdown, step)


def _summary(picture: Picture) -> Summary:
    height, width, _ = picture.image.shape
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png(picture.image))
    metadata = create_summary_metadata(picture.tag, picture.description)  # type: ignore[no-untyped-call]
    # TensorBoard's fast loader drops the description of images that do not say what class of data they are.
    metadata.data_class = DATA_CLASS_BLOB_SEQUENCE
    return Summary(value=[Summary.Value(tag=picture.tag, metadata=metadata, image=image)])


def _add_summary(writer: Writer, summary: Summary, step: int) -> None:
    """Write a summary as it is: the public methods know no descriptions, and encode pictures again."""
    file_writer: _FileWriter | None = writer._get_file_writer()  # type: ignore[attr-defined]  # noqa: SLF001 (no public way)
    # Where the rank is not zero, Lightning gives a writer all of whose methods do nothing and return None.
    if file_writer is None:
        return
    file_writer.add_summary(_as_written_by(writer, summary), step)


def _as_written_by(writer: Writer, summary: Summary) -> object:
    # TensorboardX takes its own message class only; the format is the same.
    if not any(cls.__module__.startswith("tensorboardX") for cls in type(writer).__mro__):
        return summary
    theirs: type[Summary] = importlib.import_module("tensorboardX.proto.summary_pb2").Summary
    return theirs.FromString(summary.SerializeToString())
