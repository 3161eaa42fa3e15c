import numpy as np
import pytest
from lightning.fabric.loggers import CSVLogger as FabricCSVLogger
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.loggers.logger import DummyLogger

from lightning_explain.loggers import BACKENDS, write_pictures, write_text
from lightning_explain.render import Picture

PICTURES = [Picture("a/b", np.zeros((4, 5, 3), dtype=np.uint8)), Picture("a/c", np.ones((2, 2, 3), dtype=np.uint8))]


@pytest.mark.parametrize("logger_class", [CSVLogger, FabricCSVLogger])
def test_loggers_that_know_no_pictures_are_left_alone(logger_class, tmp_path):
    logger = logger_class(str(tmp_path))
    assert write_pictures(logger, PICTURES, 3) is False
    assert write_text(logger, "a", "text", 3) is False
    assert not list(tmp_path.rglob("*"))


def test_anything_else_is_refused_too():
    assert write_pictures(object(), PICTURES, 3) is False
    assert write_text(None, "a", "text", 3) is False


def test_the_dummy_of_fast_dev_run_counts_as_written():
    assert write_pictures(DummyLogger(), PICTURES, 3) is True
    assert write_text(DummyLogger(), "a", "text", 3) is True


def test_subclasses_are_recognized_by_the_names_of_their_bases(monkeypatch):
    written = []

    class Recorder:
        def write_pictures(self, logger, pictures, step):
            written.append((logger, list(pictures), step))

        def write_text(self, logger, tag, markdown, step):
            written.append((logger, tag, markdown, step))

    class MyLogger(TensorBoardLogger):
        def __init__(self):
            pass

    monkeypatch.setitem(BACKENDS, "TensorBoardLogger", Recorder())
    logger = MyLogger()
    assert write_pictures(logger, PICTURES, 3) is True
    assert write_text(logger, "a", "text", 4) is True
    assert written == [(logger, PICTURES, 3), (logger, "a", "text", 4)]
