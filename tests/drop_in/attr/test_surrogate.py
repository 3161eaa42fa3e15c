from collections.abc import Iterator
from itertools import islice

import pytest
import torch
from sklearn.linear_model import Lasso
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_explain.attribution.engine import pose
from lightning_explain.captum.attr.similarity import ExponentialKernel
from lightning_explain.captum.attr.surrogate import ALPHA, Surrogate, features_by_id, fitted, samples_of
from lightning_explain.captum.errors import ArgumentError

X = torch.tensor([[1.0, -2.0, 3.0], [2.0, 1.0, -1.0]])
EVERY = torch.cartesian_prod(*[torch.tensor([0, 1])] * 3)


class Mean:
    """Says what it was given."""

    def __init__(self) -> None:
        self.seen: list[tuple[Tensor, ...]] = []

    def fit(self, train_data: DataLoader[object]) -> None:
        self.seen += list(map(tuple, train_data))

    def representation(self) -> Tensor:
        design, outputs, weights = self.seen[-1]
        return (weights[:, None] * design * outputs[:, None]).sum(dim=0, keepdim=True) / weights.sum()


def problem(x: Tensor = X, mask: Tensor | None = None) -> object:
    found = pose(torch.nn.Identity(), x, None, baseline=torch.zeros_like(x), forward=lambda _, x: x.sum(dim=1))
    return found if mask is None else found.masked(mask)


def constant(*_: object, **__: object) -> float:
    return 1.0


def test_generators_go_on_and_functions_are_called_again() -> None:
    def drawn(inputs: Tensor, **named: object) -> Iterator[Tensor]:
        yield inputs
        yield inputs + named["step"]

    calls: list[object] = []
    assert [float(x) for x in samples_of(drawn, torch.tensor(1.0), {"step": 2})] == [1, 3]
    assert len(list(islice(samples_of(lambda x, **_: calls.append(x) or x, X, {}), 4))) == len(calls) == 4


def test_the_lasso_is_scikit_learns() -> None:
    generator = torch.Generator().manual_seed(0)
    design = torch.randint(0, 2, (30, 4), generator=generator)
    outputs, weights = torch.randn(30, generator=generator), torch.rand(30, generator=generator)
    expected = Lasso(alpha=ALPHA, tol=1e-12, max_iter=100_000).fit(design, outputs, sample_weight=weights).coef_
    torch.testing.assert_close(fitted(None, design, outputs, weights).float(), torch.tensor(expected).float())


def test_a_model_is_fitted_to_everything_at_once() -> None:
    model = Mean()
    found = fitted(model, EVERY, EVERY.sum(dim=1), torch.ones(8))
    ((design, outputs, weights),) = model.seen
    assert design.dtype == outputs.dtype == weights.dtype == torch.float32
    assert torch.equal(design.long(), EVERY)
    assert found.shape == (3,)


def test_every_sample_is_explained_by_its_own_fit() -> None:
    model = Mean()
    found = Surrogate(model, constant, lambda *_, **__: EVERY, n_samples=1)(problem())
    assert len(model.seen) == 2
    for number, (design, outputs, weights) in enumerate(model.seen):
        assert torch.equal(design.long(), EVERY)
        torch.testing.assert_close(outputs, (EVERY * X[number]).sum(dim=1))
        assert weights.eq(1).all()
        expected = (EVERY * outputs[:, None]).mean(dim=0)
        torch.testing.assert_close(found[0][number], expected.to(found[0]))


def test_functions_are_told_of_one_sample_each() -> None:
    seen: list[tuple[object, ...]] = []

    def weigh(original: Tensor, perturbed: Tensor, present: Tensor, **named: object) -> float:
        seen.append((original, perturbed, present, named["num_interp_features"]))
        return 2.0

    def draw(inputs: object, **_: object) -> Iterator[Tensor]:
        yield from EVERY.split(1)

    model = Mean()
    Surrogate(model, weigh, draw, n_samples=8)(problem())
    assert len(seen) == 16
    for number, (original, perturbed, present, count) in enumerate(seen):
        assert torch.equal(original, X[number // 8][None])
        assert torch.equal(perturbed, present * original)
        assert count == 3
    assert model.seen[0][2].eq(2).all()


def test_coalitions_of_its_own_are_weighed_all_at_once() -> None:
    kernel, model = ExponentialKernel("euclidean", 3.0), Mean()
    Surrogate(model, kernel, n_samples=8)(problem())
    for number, (design, _, weights) in enumerate(model.seen):
        distance = ((1 - design) * X[number]).norm(dim=1)
        torch.testing.assert_close(weights, kernel.of(distance))


def test_as_many_draws_of_each_sample() -> None:
    def draw(inputs: Tensor, **_: object) -> Tensor:
        return EVERY[: 4 if inputs[0, 0] > 1 else 2]

    with pytest.raises(ArgumentError, match=r"perturb_func gave different numbers of samples, \[2, 4\]"):
        Surrogate(Mean(), constant, draw, n_samples=1)(problem())


def test_features_are_numbered_by_their_ids() -> None:
    features = features_by_id(problem(mask=torch.tensor([[4, 7, 4]])))
    assert features.count == 4  # 5 and 6 have no elements
    assert features.sum((X,)).tolist() == [[4.0, 0.0, 0.0, -2.0], [1.0, 0.0, 0.0, 1.0]]
    plain = problem()
    assert features_by_id(plain) is plain.features
