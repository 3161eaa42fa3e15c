import math
from types import SimpleNamespace

import pytest
import runs
import torch

from lightning_explain.clock import Clock
from lightning_explain.gallery import Gallery
from lightning_explain.guest import Once
from lightning_explain.loggers import BACKENDS
from lightning_explain.publishing import draw, log_cost, log_scores
from lightning_explain.suite import Suite


class Kept:
    """A logger that keeps what it is given."""

    def __init__(self):
        self.metrics = []

    def log_metrics(self, metrics, step):
        self.metrics.append((metrics, step))


@pytest.fixture
def written(monkeypatch):
    """Tags and steps of what a logger of that class was given."""
    found = []
    backend = SimpleNamespace(
        write_pictures=lambda _logger, pictures, step: found.extend((picture.tag, step) for picture in pictures),
        write_text=lambda _logger, tag, _text, step: found.append((tag, step)),
    )
    monkeypatch.setitem(BACKENDS, "Kept", backend)
    return found


def trainer(*loggers, rank=0, fn="fit", world_size=1):
    return SimpleNamespace(
        loggers=list(loggers), is_global_zero=rank == 0, state=SimpleNamespace(fn=fn), callback_metrics={},
        world_size=world_size,
    )  # fmt: skip


@pytest.fixture(scope="module")
def examination():
    suite, module = Suite(runs.probe(), ["saliency", "input_x_gradient"], ["srg", "agreement"]), runs.Module()
    suite.prepare(module)
    return suite.run(module, suite.probe.inputs, None, None)


@pytest.mark.parametrize("world_size", [1, 2])
def test_scores_are_logged_as_the_modules_own(world_size):
    logged = {}
    module = SimpleNamespace(log=lambda name, value, **how: logged.update({name: (value, how)}))
    names = ["seen/saliency/srg", "seen/saliency/drift"]
    scores = {name: SimpleNamespace(mean=number) for number, name in enumerate(names)}
    log_scores(trainer(world_size=world_size), module, names, scores, names[:1])
    assert [value for value, _ in logged.values()] == [0, 1]
    assert [how["prog_bar"] for _, how in logged.values()] == [True, False]
    assert all(how["sync_dist"] is (world_size > 1) and how["batch_size"] == 1 for _, how in logged.values())


def test_what_failed_is_logged_as_nan():
    logged = {}
    module = SimpleNamespace(log=lambda name, value, **_: logged.update({name: value}))
    log_scores(trainer(), module, ["seen/saliency/srg"], {}, [])
    assert math.isnan(logged["seen/saliency/srg"])


def test_pictures_and_tables_go_to_every_logger(written, examination):
    draw(trainer(Kept(), Kept()), Gallery("seen", 2), runs.probe(), examination, 7, Once())
    tags = [tag for tag, _ in written]
    assert {step for _, step in written} == {7}
    for tag in ("seen/agreement", "seen/sample_0", "seen/contact_sheet/saliency"):
        assert tags.count(tag) == 2
    assert "seen/sample_2" not in tags


def test_only_rank_zero_draws(written, examination):
    draw(trainer(Kept(), rank=1), Gallery("seen", 2), runs.probe(), examination, 7, Once())
    assert written == []


def test_only_fits_are_remembered(written, examination):
    gallery = Gallery("seen", 1)
    for fn, columns in (("validate", set()), ("fit", {1}), ("test", {1}), ("fit", {2})):
        draw(trainer(Kept(), fn=fn), gallery, runs.probe(), examination, 7, Once())
        assert {len(held) for held in gallery._history.values()} == columns


def test_of_a_logger_without_pictures_is_warned_once(examination):
    once, logger = Once(), SimpleNamespace()
    with pytest.warns(UserWarning, match="SimpleNamespace cannot show pictures: it gets the scores alone"):
        draw(trainer(logger), Gallery("seen", 1), runs.probe(), examination, 7, once)
    draw(trainer(logger), Gallery("seen", 1), runs.probe(), examination, 7, once)  # a warning would be an error


def test_the_cost_is_logged_and_counted_anew():
    clock, logger = Clock(), Kept()
    with clock.running():
        torch.ones(3).sum()
    spent, run = clock.last, trainer(logger)
    log_cost(run, clock, "seen", 3)
    ((cost, step),) = logger.metrics
    assert step == 3
    assert cost["seen/seconds"] == spent > 0
    assert 0 < cost["seen/time_share"] <= 1
    assert run.callback_metrics.keys() == cost.keys()
    assert clock.last == 0
    assert clock.total == spent
