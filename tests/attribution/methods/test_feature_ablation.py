import pytest
import torch
from captum.attr import FeatureAblation as Captum
from captum.attr import LayerFeatureAblation, NeuronFeatureAblation
from cases import BY_NAME
from games import EVERY_WORLD, game, known_ids, laid_out, odd_ids
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from worlds import TARGETS, UNIT, WORLDS, baseline, net, samples

from lightning_explain import FeatureAblation, Input, Layer, Neuron, explain


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("where", EVERY_WORLD)
def test_it_is_the_fall_of_the_score_without_the_feature(where: str, per_sample: bool) -> None:
    ids = odd_ids(where, per_sample=per_sample)
    found = explain(
        net(), samples(), FeatureAblation(), WORLDS[where].place, TARGETS, baseline=baseline(), feature_mask=ids
    )
    for i, part in enumerate(found.values):
        value, known = game(where, i, ids), known_ids(ids, i)
        falls = {f: value(known) - value(set(known) - {f}) for f in known}
        torch.testing.assert_close(part, laid_out(falls, ids, i, part), rtol=0, atol=1e-12)
        assert found.coefficients[i, : len(known)].tolist() == pytest.approx([falls[f] for f in known], abs=1e-12)
        assert (found.coefficients[i, len(known) :] == 0).all()


def test_captum_agrees_at_every_place() -> None:
    model, x, b = net(), samples(), baseline()
    mask = odd_ids("input")
    ours = explain(model, x, "feature_ablation", target=TARGETS, baseline=b, feature_mask=mask).values
    torch.testing.assert_close(
        ours, Captum(model).attribute(x, b, TARGETS, feature_mask=mask), rtol=0, atol=1e-12, check_dtype=False
    )
    ours = explain(model, x, "feature_ablation", Input(channel_dim=None), TARGETS, baseline=b).values
    torch.testing.assert_close(ours, Captum(model).attribute(x, b, TARGETS), rtol=0, atol=1e-12, check_dtype=False)
    ours = explain(model, x, "feature_ablation", Neuron("conv2", UNIT, channel_dim=None), baseline=b).values
    theirs = NeuronFeatureAblation(model, model.conv2).attribute(x, UNIT, b)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12, check_dtype=False)
    ours = explain(model, x, "feature_ablation", Layer("conv1", channel_dim=None), TARGETS, baseline=b).values
    zero = model.conv1(b)
    theirs = LayerFeatureAblation(model, model.conv1).attribute(x, zero.expand(len(x), -1, -1, -1), TARGETS)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12, check_dtype=False)


def test_a_feature_may_be_in_several_inputs() -> None:
    case = BY_NAME["several"]
    model, inputs = case.model(), case.inputs()
    picture, table = torch.zeros(1, 1, 5, 1, dtype=torch.long), torch.tensor([[0, 4, 0]])
    found = explain(model, inputs, "feature_ablation", target=1, feature_mask=(picture, table))
    assert found.coefficients.shape == (4, 2)
    masks = (picture.expand(1, 1, 5, 6), torch.zeros(1, 4, dtype=torch.long) + 99, table)
    theirs = Captum(model).attribute(inputs, target=1, feature_mask=masks)
    for ours, part in zip(found.values, (theirs[0], theirs[2]), strict=True):
        torch.testing.assert_close(ours, part, rtol=0, atol=1e-12, check_dtype=False)
    named = BY_NAME["words"]
    by_name = explain(
        named.model(), named.inputs(), "feature_ablation", target=1, feature_mask={"table": torch.tensor([[1, 1, 5]])}
    )
    assert list(by_name.values) == ["table"]
    assert torch.equal(by_name.values["table"][:, 0], by_name.values["table"][:, 1])


def test_ids_of_tokens_are_features_too() -> None:
    model = nn.Sequential(nn.EmbeddingBag(9, 4), nn.Linear(4, 2)).double()
    ids = torch.randint(1, 9, (3, 5))
    found = explain(model, ids, "feature_ablation", target=1, baseline=0).values
    theirs = Captum(model).attribute(ids, 0, 1)
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-12, check_dtype=False)
    with pytest.raises(ValueError, match="is what it is at the samples, for the integer inputs stay as they are"):
        explain(model, ids, "feature_ablation", target=1)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_rows(count: int) -> None:
    model, rows = net(), []
    model.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    mask = torch.arange(40).view(1, 2, 5, 4) % count
    explain(model, samples(), "feature_ablation", target=1, feature_mask=mask)
    assert sum(rows) == (count + 1) * len(samples())  # the outputs tell the score at the samples


@given(
    sides=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    spanned=st.lists(st.booleans(), min_size=3, max_size=3),
    per_sample=st.booleans(),
    seed=st.integers(0, 9),
)
def test_a_linear_score_is_shared_out(sides: list[int], spanned: list[bool], per_sample: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(sides, dtype=torch.float64, generator=generator)

    class Linear(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * weight).flatten(1).sum(dim=1)

    x = torch.randn(3, *sides, dtype=torch.float64, generator=generator)
    shape = [1 if wide else side for side, wide in zip(sides, spanned, strict=False)]
    mask = torch.randint(-2, 3, (3 if per_sample else 1, *shape), generator=generator)
    found = explain(Linear(), x, "feature_ablation", target="output", feature_mask=mask).values
    parts, ids = x * weight, mask.expand_as(x)
    for i in range(3):
        for number in ids[i].unique():
            inside = ids[i] == number
            assert found[i][inside].tolist() == pytest.approx([float(parts[i][inside].sum())] * int(inside.sum()))
