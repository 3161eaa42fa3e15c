import captum.attr
import pytest
import torch

from lightning_explain.captum.attr._utils import stat
from lightning_explain.captum.attr._utils.summarizer import Summarizer, SummarizerSingleTensor


class Range(stat.Stat):
    """The user's own: made of two others."""

    @property
    def needs(self):
        return (stat.Max(), stat.Min())

    def update(self, x):
        pass

    def get(self):
        return self._get_stat(stat.Max()).get() - self._get_stat(stat.Min()).get()


def test_one_summary_for_each_input_of_a_tuple():
    ours, theirs = Summarizer(stat.CommonStats()), captum.attr.Summarizer(captum.attr.CommonStats())
    for _ in range(3):
        inputs = (torch.randn(2, 3), torch.randn(4))
        ours.update(inputs)
        theirs.update(inputs)
    assert len(ours.summary) == len(theirs.summary) == 2
    for one, other in zip(ours.summary, theirs.summary, strict=True):
        assert one.keys() == other.keys()
        for name, value in other.items():
            torch.testing.assert_close(one[name], value)


def test_numbers_are_summarised_too():
    summed = Summarizer([stat.Mean()])
    for x in (1.0, 2.0):
        summed.update(x)
    assert summed.summary["mean"].item() == 1.5


def test_only_what_was_asked_for_is_shown_and_updated_once():
    summed = Summarizer([stat.StdDev(), stat.Mean(), stat.StdDev()])
    for x in (1.0, 3.0):
        summed.update(x)
    assert summed.summary == {"std_dev": 1.0, "mean": 2.0}


def test_a_statistic_of_ones_own_brings_what_it_needs():
    summed = Summarizer([Range()])
    for x in ([1.0, 5.0], [4.0, 4.0]):
        summed.update(torch.tensor(x))
    assert {name: value.tolist() for name, value in summed.summary.items()} == {"range": [3.0, 1.0]}


class Halves(stat.Stat):
    """The user's own, which knows single tensors alone: those that came at even counts."""

    def __init__(self):
        super().__init__()
        self.total = 0

    @property
    def needs(self):
        return (stat.Count(),)

    def update(self, x):
        if self._get_stat(stat.Count()).get() % 2 == 0:
            self.total = self.total + x

    def get(self):
        return self.total


@pytest.mark.parametrize("own", [[], [Halves()]], ids=["ours", "own"])
@pytest.mark.parametrize("sizes", [[1, 1], [5], [2, 3, 4], [1, 7]])
def test_samples_at_once_are_samples_one_by_one(own, sizes):
    stats = [
        *stat.CommonStats(),
        *(kind() for kind in (stat.Sum, stat.Count, stat.MSE, stat.Var)),
        stat.Max(name="largest size", max_fn=lambda a, b: torch.maximum(a.abs(), b.abs())),
        *own,
    ]
    whole, single = Summarizer(stats), Summarizer(stats)
    for size in sizes:
        xs = torch.randn(size, 3, dtype=torch.float64) + 1000
        whole.update_all((xs, xs[:, 0]))
        for x in xs:
            single.update((x, x[0]))
    for one, other in zip(whole.summary, single.summary, strict=True):
        assert one.keys() == other.keys()
        assert "largest size" in one
        for name, value in other.items():
            torch.testing.assert_close(torch.as_tensor(one[name]), torch.as_tensor(value), msg=name)


def test_summarizers_do_not_share_their_statistics():
    stats = [stat.Mean()]
    one, other = Summarizer(stats), Summarizer(stats)
    one.update(1.0)
    other.update(5.0)
    assert one.summary["mean"] == 1.0
    assert other.summary["mean"] == 5.0


def test_a_single_tensor():
    single = SummarizerSingleTensor([stat.Count(), stat.Mean()], [1])
    for x in (1.0, 2.0):
        single.update(torch.tensor(x))
    assert single.summary == {"mean": 1.5}
    assert single.get(stat.Count()).get() == 2
    assert single.get(stat.Max()) is None


def test_tuples_and_single_inputs_are_not_mixed():
    summed = Summarizer([stat.Mean()])
    summed.update(torch.ones(2))
    with pytest.raises(AssertionError, match=r"got a tuple after single inputs"):
        summed.update((torch.ones(2),))


def test_other_types_are_named():
    with pytest.raises(TypeError, match=r"Expected a tensor or a number, got str"):
        Summarizer([stat.Mean()]).update("x")
