from math import ceil

import pytest
import torch
from captum import attr as captum
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_explain.captum import attr as ours
from lightning_explain.captum.attr._core.dataloader_attr import InputRole
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError

X = torch.tensor([[1.0, -2.0, 3.0], [2.0, 1.0, -1.0], [0.3, 0.2, -2.0], [4.0, 4.0, 1.0], [0.0, 1.0, 2.0]])
Y = torch.arange(20).view(5, 2, 2)
LABELS = torch.tensor([1, 0, 1, 1, 0])


def loader(*tensors: Tensor, size: int = 2) -> DataLoader[object]:
    return DataLoader(TensorDataset(*tensors), batch_size=size)


def total(*inputs: Tensor) -> Tensor:
    return torch.cat([x.flatten(1) for x in inputs], dim=1).float().square().sum(dim=1)


class Loud:
    """A loader that counts."""

    def __init__(self, batches: object) -> None:
        self.batches, self.passes = batches, 0

    def __iter__(self):
        self.passes += 1
        return iter(self.batches)


def both(forward: object, batches: object, **call: object) -> tuple[Tensor, ...]:
    given = {key: value for key, value in call.items() if key != "perturbations_per_pass"}
    expected = captum.DataLoaderAttribution(captum.FeatureAblation(forward)).attribute(batches, **given)
    found = ours.DataLoaderAttribution(ours.FeatureAblation(forward)).attribute(batches, **call)
    assert isinstance(found, tuple) == isinstance(expected, tuple)
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-5)
    return found


@pytest.mark.parametrize("per_pass", [1, 2, 100])
def test_outputs_in_a_row_are_those_of_ablation(per_pass: int) -> None:
    found = both(total, loader(X, Y), perturbations_per_pass=per_pass)
    expected = ours.FeatureAblation(total).attribute((X, Y))
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right)


@pytest.mark.parametrize("per_pass", [1, 3, 7])
def test_passes(per_pass: int) -> None:
    batches = Loud(loader(X, Y))
    ours.DataLoaderAttribution(ours.FeatureAblation(total)).attribute(batches, perturbations_per_pass=per_pass)
    assert batches.passes == ceil(7 / per_pass) + 2


def test_masks_and_baselines() -> None:
    masks = (torch.tensor([[0, 3, 0]]), torch.tensor([[[3, 1], [1, 1]]]))
    baselines = (torch.tensor([[0.5, 1.0, -1.0]]), 2)
    for call in ({"feature_mask": masks}, {"baselines": baselines}, {"feature_mask": masks, "baselines": baselines}):
        both(total, loader(X, Y), **call, perturbations_per_pass=2)
    row = both(total, loader(X, Y), feature_mask=masks, return_input_shape=False)
    assert torch.stack(list(row)).shape == (5, 4)


def test_batches_in_a_tuple_or_bare() -> None:  # of which Captum takes neither
    mask = torch.tensor([[0, 1, 1]])
    expected = ours.FeatureAblation(total).attribute(X, feature_mask=mask)
    method = ours.DataLoaderAttribution(ours.FeatureAblation(total))
    torch.testing.assert_close(method.attribute([X[:2], X[2:]], feature_mask=mask), expected)
    (found,) = method.attribute([(X[:2],), (X[2:],)], feature_mask=mask)
    torch.testing.assert_close(found, expected)


def test_a_metric_of_all_batches() -> None:
    calls = {"reduce": 0, "to_metric": 0}

    def reduce(total: Tensor | None, outputs: Tensor, batch: tuple[Tensor, ...]) -> Tensor:
        calls["reduce"] += 1
        right = ((outputs > 10) == batch[-1].bool()).float()
        counted = torch.stack([right.sum(), torch.tensor(float(len(outputs)))])
        return counted if total is None else total + counted

    def to_metric(counted: Tensor) -> Tensor:
        calls["to_metric"] += 1
        return counted[0] / counted[1]

    roles = (InputRole.need_attr, InputRole.need_forward, InputRole.no_forward)
    given = {"input_roles": roles, "reduce": reduce, "to_metric": to_metric, "perturbations_per_pass": 2}
    (found,) = both(total, loader(X, Y, LABELS), **given)
    assert found.shape == (1, 3)
    calls.update(reduce=0, to_metric=0)
    ours.DataLoaderAttribution(ours.FeatureAblation(total)).attribute(loader(X, Y, LABELS), **given)
    assert calls == {"reduce": 3 * 4, "to_metric": 4}


def test_things_that_are_no_tensors_go_along() -> None:
    batches = [("double", X[:2]), ("single", X[2:])]
    forward = lambda name, x: x.sum(dim=1) * (2 if name == "double" else 1)  # noqa: E731
    (found,) = ours.DataLoaderAttribution(ours.FeatureAblation(forward)).attribute(batches, input_roles=(1, 0))
    torch.testing.assert_close(found, X * torch.tensor([[2.0], [2], [1], [1], [1]]))


def test_the_model_is_run_as_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 1))
    method = ours.DataLoaderAttribution(ours.FeatureAblation(model))
    (first,), (second,) = (method.attribute(loader(X), show_progress=True) for _ in range(2))
    assert torch.equal(first, second)
    assert model.training
    assert "Data Loader Attribution attribution: 100%" in capsys.readouterr().err


def test_no_random_state_is_moved_by_looking_at_a_loader() -> None:
    state = torch.get_rng_state()
    ours.DataLoaderAttribution(ours.FeatureAblation(total)).attribute(loader(X, Y))
    assert torch.equal(torch.get_rng_state(), state)


def test_what_does_not_fit_is_refused() -> None:
    for other in (ours.Occlusion(total), ours.FeaturePermutation(total)):
        with pytest.raises(AssertionError, match="explained by FeatureAblation, got"):
            ours.DataLoaderAttribution(other)
    method = ours.DataLoaderAttribution(ours.FeatureAblation(total))
    with pytest.raises(ArgumentError, match=r"a role for each of the 2 thing\(s\) in a batch, got 1"):
        method.attribute(loader(X, Y), input_roles=(0,))
    with pytest.raises(ArgumentError, match="Nothing is to be explained"):
        method.attribute(loader(X, Y), input_roles=(1, 2))
    with pytest.raises(AssertionError, match=r"baseline of input 0 has shape \(2, 3\)"):
        method.attribute(loader(X), baselines=torch.zeros(2, 3))
    with pytest.raises(AssertionError, match=r"feature mask of input 0 has shape \(2, 3\)"):
        method.attribute(loader(X), feature_mask=torch.zeros(2, 3, dtype=torch.long))
    with pytest.raises(ArgumentError, match="perturbations_per_pass must be at least 1, got 0"):
        method.attribute(loader(X), perturbations_per_pass=0)
    with pytest.raises(ArgumentTypeError, match="must be a tensor, got float"):
        method.attribute(loader(X), to_metric=lambda found: float(found.sum()))
    with pytest.raises(NotImplementedError, match="attribute_future is not there for DataLoaderAttribution"):
        method.attribute_future()
