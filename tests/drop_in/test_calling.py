import pytest
import torch
from torch import Tensor

from lightning_explain.captum.calling import OnePerBatch, PerBatch, PerSample, called, explained
from lightning_explain.captum.errors import ArgumentError

X = torch.arange(6.0).reshape(3, 2)


def weighted(x: Tensor, weight: Tensor, factor: float, table: Tensor) -> Tensor:
    return x * weight * factor + table.sum()


def test_arguments_with_a_row_for_each_sample_go_with_the_samples() -> None:
    weight, table = torch.tensor([[1.0], [2.0], [3.0]]), torch.ones(5)
    call = PerSample(weighted, 1, (weight, 2.0, table), samples=3)
    assert len(call.beside) == 1
    assert torch.equal(call.beside[0], weight)
    rows = torch.tensor([2, 0, 2, 1])
    found = call(None, (X[rows], weight[rows]))
    assert torch.equal(found, weighted(X, weight, 2.0, table)[rows])


def test_one_number_for_several_samples_is_noticed() -> None:
    for total in (lambda x: x.sum(), lambda x: x.sum().reshape(1), lambda x: float(x.sum())):
        with pytest.raises(OnePerBatch):
            PerSample(total, 1, (), samples=3)(None, (X,))
    assert PerSample(lambda x: x.sum().reshape(1), 1, (), samples=1)(None, (X[:1],)).tolist() == [1.0]


def test_one_number_for_each_sample_is_asked_for() -> None:
    call = PerSample(lambda x: x, 1, (), samples=3, one_each=True)
    with pytest.raises(ArgumentError, match=r"explained outputs have shape \(n, 2\).*Give target="):
        call(None, (X,))
    assert PerSample(lambda x: x, 1, (), samples=3, index=(1,), one_each=True)(None, (X,)).tolist() == [1.0, 3.0, 5.0]


def test_batches_are_run_one_by_one() -> None:
    call = PerBatch(lambda x: x.sum(dim=0), ())
    assert torch.equal(call(None, (torch.stack([X, 2 * X]),)), torch.stack([X.sum(0), 2 * X.sum(0)]))
    assert call.shapes == [(2,)]


def test_numbers_become_tensors_of_their_precision() -> None:
    assert called(lambda _: 3, (X,), ()).dtype == torch.int64
    assert called(lambda _: 0.1, (X,), ()).dtype == torch.float64
    assert called(lambda: X, (X,), ()) is X
    with pytest.raises(TypeError, match="The forward function must give a tensor, got str"):
        called(lambda _: "three", (X,), ())


def test_the_target_chooses_from_what_came() -> None:
    assert torch.equal(explained(X, (X,), 1), X[:, 1])
    assert torch.equal(explained((X, "more"), (X,), [0, 1, 0]), torch.tensor([0.0, 3.0, 4.0]))
    assert explained(5, (X,), 1) == 5  # one number for the batch: there is nothing to choose from
    with pytest.raises(IndexError, match=r"The target 2 does not fit outputs of shape \(n, 2\)"):
        explained(X, (X,), 2)
