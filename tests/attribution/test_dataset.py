import copy
from math import ceil

import pytest
import torch
from captum.attr import DataLoaderAttribution as Captum
from captum.attr import FeatureAblation
from cases import BY_NAME
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanAbsoluteError, MeanSquaredError
from torchmetrics.classification import MulticlassAccuracy
from worlds import net

from lightning_explain import explain_dataset


class Outputs:
    """Keeps the sum of all outputs, class by class."""

    def __init__(self) -> None:
        self.total = torch.zeros(3, dtype=torch.float64)
        self.rows: list[int] = []

    def update(self, outputs: Tensor, label: Tensor) -> None:
        assert len(outputs) == len(label)
        self.total = self.total + outputs.sum(dim=0)

    def compute(self) -> Tensor:
        return self.total


def data(count: int = 10) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(count, 2, 5, 4, dtype=torch.float64, generator=generator)
    return x, torch.randint(0, 3, (count,), generator=generator)


class Counting(DataLoader):
    passes = 0

    def __iter__(self):
        self.passes += 1
        return super().__iter__()


MASK = torch.arange(20).view(1, 1, 5, 4) // 3


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("at_once", "max_rows"), [(1, None), (3, 4), (100, 64)])
def test_it_is_what_the_metric_loses_without_the_feature(at_once: int, max_rows: int | None, shuffle: bool) -> None:
    model, (x, label) = net(), data()
    loader = Counting(TensorDataset(x, label), batch_size=4, shuffle=shuffle)
    metric = MulticlassAccuracy(3, average="micro")
    found = explain_dataset(
        model, loader, metric, baseline=0.5, feature_mask=MASK, perturbations_per_pass=at_once, max_rows=max_rows
    )

    def accuracy(inputs: Tensor) -> float:
        return float((model(inputs).argmax(dim=1) == label).float().mean())

    assert float(found.score) == pytest.approx(accuracy(x))
    for number in range(7):
        ablated = torch.where(number == MASK, torch.tensor(0.5).double(), x)
        assert float(found.coefficients[0, number]) == pytest.approx(accuracy(x) - accuracy(ablated), abs=1e-6)
    assert found.coefficients.abs().max() > 0
    assert found.values.shape == (1, 2, 5, 4)
    assert torch.equal(found.values[0, 1], found.coefficients[0].float()[MASK[0, 0]])
    assert loader.passes == ceil(7 / at_once) + 1
    assert metric.update_count == 0


def test_captum_agrees() -> None:
    model, (x, label) = net(), data()
    loader = DataLoader(TensorDataset(x, label), batch_size=4)
    found = explain_dataset(model, loader, Outputs(), feature_mask=MASK)
    (theirs,) = Captum(FeatureAblation(model)).attribute(
        DataLoader(TensorDataset(x), batch_size=4),
        feature_mask=MASK,
        return_input_shape=True,
        reduce=lambda total, outputs, _: outputs.sum(dim=0) + (0 if total is None else total),
        to_metric=lambda total: total,
    )
    torch.testing.assert_close(found.values.double(), theirs.double(), rtol=0, atol=1e-5)
    assert found.coefficients.shape == (3, 7)


def test_every_sample_takes_a_row_for_each_feature_and_one() -> None:
    model, (x, label), rows = net(), data(), []
    model.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    loader = DataLoader(TensorDataset(x, label), batch_size=4)
    explain_dataset(model, loader, Outputs(), feature_mask=MASK, max_rows=5)
    assert sum(rows) == 10 * 8
    assert max(rows) <= 5


def test_dicts_and_tuples_with_ids() -> None:
    case = BY_NAME["words"]
    model, inputs = case.model(), case.inputs()
    loader = [inputs | {"label": torch.zeros(4, 3)}, inputs | {"label": torch.ones(4, 3)}]
    found = explain_dataset(model, loader, MeanSquaredError())
    assert list(found.values) == ["table"]
    assert found.values["table"].shape == (1, 3)
    out = model(**inputs).detach()
    loss = float(((out**2).mean() + ((out - 1) ** 2).mean()) / 2)
    assert float(found.score) == pytest.approx(loss, rel=1e-5)
    case = BY_NAME["several"]
    found = explain_dataset(case.model(), [(*case.inputs(), torch.zeros(4, 3))], MeanAbsoluteError())
    assert [part.shape for part in found.values] == [(1, 1, 5, 6), (1, 3)]


def test_nothing_of_the_users_is_touched() -> None:
    model, (x, label) = net().train(), data()
    generator = torch.Generator().manual_seed(3)
    loader = DataLoader(TensorDataset(x, label), batch_size=4, shuffle=True, generator=generator)
    before = (generator.get_state(), torch.get_rng_state(), copy.deepcopy(model.state_dict()))
    explain_dataset(model, loader, Outputs(), feature_mask=MASK)
    assert model.training
    assert torch.equal(generator.get_state(), before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), before[2].values(), strict=True))


class Sum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum(dim=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"perturbations_per_pass": 0}, "perturbations_per_pass must be at least 1, got 0"),
        ({"dataloader": iter([])}, "The data is run through several times, and a list_iterator gives it once"),
        ({"dataloader": []}, "The data loader is empty: it needs at least one batch"),
        ({"dataloader": [torch.ones(2, 3)]}, "The data loader gives no labels"),
        ({"baseline": "mean"}, "The baseline 'mean' would be another one for each batch"),
        ({"baseline": torch.zeros(2, 3)}, r"The baseline must be the same for all samples, with 1 in front; got \[2\]"),
        ({"feature_mask": torch.zeros(2, 3).long()}, r"The feature_mask must be the same for all samples"),
        ({"feature_mask": torch.zeros(1, 4).long()}, r"The feature mask of input has shape \(1, 4\)"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, object], message: str) -> None:
    given = {"dataloader": [(torch.ones(2, 3), torch.ones(2))]} | settings
    with pytest.raises(ValueError, match=message):
        explain_dataset(Sum(), given.pop("dataloader"), MeanSquaredError(), **given)
