from collections import namedtuple

import pytest
import torch

from lightning_explain.robust.tally import STATISTICS, Tally, over_samples

Two = namedtuple("Two", ("loss", "right"))


def told(*results):
    tally = Tally()
    for result in results:
        tally.add(result)
    return {statistic: tally.read(statistic) for statistic in STATISTICS}


def test_statistics_are_those_of_a_list():
    results = [torch.randn(3, 2) for _ in range(5)]
    got = told(*results)
    for i in range(3):
        for j in range(2):
            column = [float(result[i, j]) for result in results]
            assert float(got["mean"][i, j]) == pytest.approx(sum(column) / 5)
            assert float(got["max"][i, j]) == pytest.approx(max(column))
            assert float(got["min"][i, j]) == pytest.approx(min(column))


def test_numbers_integers_and_booleans():
    assert {name: (float(v), v.dtype) for name, v in told(1, 2.5).items()} == {
        "mean": (1.75, torch.float32), "max": (2.5, torch.float32), "min": (1.0, torch.float32)
    }  # fmt: skip
    got = told(torch.tensor([True, False]), torch.tensor([True, True]))
    assert got["mean"].tolist() == [1.0, 0.5]
    assert got["min"].tolist() == [True, False]
    assert over_samples(got["min"]).item() == 0.5


def test_tuples_keep_their_class():
    plain = told((torch.ones(2), 3.0), (torch.zeros(2), 5.0))
    assert plain["mean"][0].tolist() == [0.5, 0.5]
    assert float(plain["max"][1]) == 5
    named = told(Two(torch.tensor([1, 2]), 1.0), Two(torch.tensor([3, 2]), 0.0))["mean"]
    assert isinstance(named, Two)
    assert named.loss.tolist() == [2, 2]
    assert over_samples(named) == Two(2, 0.5)


def test_one_result_is_its_own_statistic_and_nobody_elses_memory():
    result = torch.ones(2, requires_grad=True)
    got = told(result)
    assert all(value.tolist() == [1, 1] and not value.requires_grad for value in got.values())


def test_kinds_do_not_mix():
    for results in ((1.0, (1.0,)), ((1.0,), 1.0), ((1.0,), (1.0, 2.0))):
        with pytest.raises(ValueError, match="A metric must always give the same kind of result; got"):
            told(*results)
