import importlib

import numpy as np
import pytest
from lightning.fabric.loggers import TensorBoardLogger as FabricTensorBoardLogger
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_BLOB_SEQUENCE

from lightning_explain.loggers import write_pictures, write_text
from lightning_explain.render import Picture, png

RNG = np.random.default_rng(0)


def pictures():
    return [
        Picture("a/one", RNG.integers(0, 256, size=(4, 7, 3), dtype=np.uint8), "red is **positive**"),
        Picture("a/two", RNG.integers(0, 256, size=(20, 3, 3), dtype=np.uint8)),
    ]


def read(folder):
    return EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0}).Reload()


@pytest.fixture(
    params=["lightning.pytorch.loggers", "lightning.fabric.loggers", "pytorch_lightning.loggers"], ids=lambda name: name
)
def logger(request, tmp_path):
    module = pytest.importorskip(request.param, exc_type=ImportError)
    return module.TensorBoardLogger(str(tmp_path), name="", version="run")


def test_pictures_are_read_back_byte_for_byte(logger, tmp_path):
    first, second = pictures(), pictures()
    assert write_pictures(logger, first, 5) is True
    assert write_pictures(logger, second, 11) is True
    accumulated = read(tmp_path / "run")
    assert sorted(accumulated.Tags()["images"]) == ["a/one", "a/two"]
    for i, tag in enumerate(["a/one", "a/two"]):
        events = accumulated.Images(tag)
        written = [first[i], second[i]]
        assert [event.step for event in events] == [5, 11]
        assert [event.encoded_image_string for event in events] == [png(picture.image) for picture in written]
        assert [(event.height, event.width) for event in events] == [picture.image.shape[:2] for picture in written]


def test_descriptions_and_what_the_fast_loader_needs_are_in_the_file(logger, tmp_path):
    write_pictures(logger, pictures(), 5)
    accumulated = read(tmp_path / "run")
    one, two = (accumulated.SummaryMetadata(tag) for tag in ("a/one", "a/two"))
    assert (one.summary_description, two.summary_description) == ("red is **positive**", "")
    assert one.plugin_data.plugin_name == two.plugin_data.plugin_name == "images"
    # Without it, the description is missing in TensorBoard as it starts by default.
    assert one.data_class == two.data_class == DATA_CLASS_BLOB_SEQUENCE


def test_tensorboards_own_loader_gives_width_height_and_bytes(logger, tmp_path):
    (written, _) = made = pictures()
    write_pictures(logger, made, 5)
    (path,) = (tmp_path / "run").glob("events.*")
    values = [value for event in EventFileLoader(str(path)).Load() for value in event.summary.value]
    shown = next(value for value in values if value.tag == "a/one")
    assert list(shown.tensor.string_val) == [b"7", b"4", png(written.image)]
    assert shown.metadata.summary_description == "red is **positive**"


def test_texts_are_written_at_their_step(logger, tmp_path):
    assert write_text(logger, "a/verdict", "gate **closed**", 7) is True
    logger.experiment.flush()
    accumulated = read(tmp_path / "run")
    (event,) = accumulated.Tensors("a/verdict/text_summary")
    assert (event.step, list(event.tensor_proto.string_val)) == (7, [b"gate **closed**"])


@pytest.mark.parametrize("logger_class", [TensorBoardLogger, FabricTensorBoardLogger])
def test_other_ranks_write_nothing(logger_class, tmp_path, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger = logger_class(str(tmp_path))
    assert write_pictures(logger, pictures(), 5) is True
    assert write_text(logger, "a", "text", 5) is True
    assert not list(tmp_path.rglob("*"))


def test_tensorboardx_writers_are_given_their_own_messages(tmp_path):
    pytest.importorskip("tensorboardX", exc_type=ImportError)
    writer = importlib.import_module("tensorboardX").SummaryWriter(str(tmp_path))
    foreign = type("TensorBoardLogger", (), {"experiment": writer})()
    made = pictures()
    assert write_pictures(foreign, made, 5) is True
    writer.close()
    (event,) = read(tmp_path).Images("a/one")
    assert (event.step, event.encoded_image_string) == (5, png(made[0].image))
