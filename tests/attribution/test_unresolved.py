import pytest
import torch
from torch import Tensor, nn

from lightning_explain import DeepLift, DeepLiftShap, IntegratedGradients, Layer, Neuron, explain
from lightning_explain.attribution.methods import METHODS
from lightning_explain.attribution.unresolved import Unresolved

FROM_ONE_PASS = sorted(name for name in METHODS if METHODS[name].samples_first)
OUTPUTS = torch.tensor([[0.0, 3.0], [5.0, 1.0], [2.0, 4.0]])


class Net(nn.Module):
    """Convolutions of a small picture; counts the rows that go through it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)
        self.rows: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.rows.append(len(x))
        return self.head(torch.relu(self.conv2(torch.relu(self.conv1(x)))).mean(dim=(2, 3)))


def rows_of(method: object, place: object = None, **settings: object) -> int:
    """Rows through a model, of 5 samples, without those that find out which convolution is the last."""
    model, seen = Net(), []
    handle = model.head.register_forward_hook(lambda _, args, __: seen.append(len(args[0])))
    explain(model, torch.randn(5, 1, 6, 6), method, place, **settings)  # type: ignore[arg-type]
    handle.remove()
    return sum(seen)


def test_what_samples_give_is_remembered_whatever_comes_later() -> None:
    unresolved = Unresolved("predicted", None, 3)
    first = unresolved.index(OUTPUTS[:2], torch.tensor([0, 1]))
    assert first.tolist() == [[1], [0]]
    assert unresolved.outputs is None  # the last sample has not been seen
    assert unresolved.index(-OUTPUTS[:2], torch.tensor([0, 1])).tolist() == [[1], [0]]
    unresolved.index(OUTPUTS[2:], torch.tensor([2]))
    assert torch.equal(unresolved.outputs, OUTPUTS)
    assert unresolved.indices.tolist() == [[1], [0], [1]]


def test_a_wrong_target_is_named_by_its_sample_from_the_first_chunk_on() -> None:
    unresolved = Unresolved([0, 1, 7], None, 3)
    with pytest.raises(ValueError, match=r"Target \[7\] of sample 2 is out of range"):
        unresolved.index(OUTPUTS[:1], torch.tensor([0]))


def test_one_number_per_sample_needs_no_index() -> None:
    unresolved = Unresolved("output", None, 2)
    assert unresolved.index(OUTPUTS[:2, 0], torch.tensor([0, 1])) is None
    assert unresolved.outputs.tolist() == [0, 5]


@pytest.mark.parametrize("target", ["predicted", 1, [0, 1, 2, 0, 1]], ids=str)
@pytest.mark.parametrize("max_rows", [2, None])
@pytest.mark.parametrize("name", FROM_ONE_PASS)
def test_targets_and_outputs_are_those_of_a_pass_of_their_own(name: str, target: object, max_rows: int | None) -> None:
    model, x = Net().double(), torch.randn(5, 1, 6, 6, dtype=torch.float64)
    outputs = model(x).detach()
    named = outputs.argmax(dim=1) if target == "predicted" else torch.as_tensor(target).expand(5)
    found = explain(model, x, name, target=target, max_rows=max_rows)  # type: ignore[arg-type]
    torch.testing.assert_close(found.outputs, outputs)
    assert torch.equal(found.target, named[:, None])
    one_by_one = [explain(model, x[i : i + 1], name, target=int(named[i])).values for i in range(5)]
    torch.testing.assert_close(found.values, torch.cat(one_by_one))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["guided_backprop", "deconvolution", "lrp", "saliency", "input_x_gradient"])
def test_one_pass_is_enough(name: str) -> None:
    assert rows_of(name) == 5
    assert rows_of(name, target=1) == 5


def test_deep_lift_takes_each_baseline_too() -> None:
    assert rows_of(DeepLift()) == 5 + 1
    assert rows_of(DeepLiftShap(torch.randn(4, 1, 6, 6))) == 4 * 5 + 4


def test_a_layer_and_a_neuron_are_seen_in_the_pass_that_gives_the_outputs() -> None:
    assert rows_of("activation@conv2") == 5
    assert rows_of("saliency", Neuron("conv2", (0, 1, 1))) == 5
    # The samples, four steps, and the score at the baseline; of the baseline itself, the same for all, two rows.
    assert rows_of(IntegratedGradients(4), Layer("conv2")) == (1 + 4 + 1) * 5 + 2


@pytest.mark.parametrize("baselines", [None, torch.randn(4, 1, 6, 6, dtype=torch.float64)])
def test_the_reference_is_the_score_at_the_baselines(baselines: Tensor | None) -> None:
    model, x = Net().double(), torch.randn(5, 1, 6, 6, dtype=torch.float64)
    method = DeepLift() if baselines is None else DeepLiftShap(baselines)
    at = model(torch.zeros(1, 1, 6, 6, dtype=torch.float64) if baselines is None else baselines)[:, 2].mean()
    found = explain(model, x, method, target=2)
    torch.testing.assert_close(found.span, (model(x)[:, 2] - at).detach())
    assert found.delta.abs().max() < 1e-12
