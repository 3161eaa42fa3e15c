import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from lightning_explain import (
    GradCAM,
    Input,
    InputXGradient,
    IntegratedGradients,
    Layer,
    Neuron,
    ProbeSet,
    Saliency,
    explain,
)
from lightning_explain.metrics import Focus
from lightning_explain.metrics.localisation.focus import mosaics, tiled
from metrics.evaluations import TARGET, Pair, Picture, evaluation_of, pictures, rows

LABEL = torch.tensor([0, 1, 0, 1, 2, 1])


class Bright(nn.Module):
    """Class c is how bright channel c is: its input x gradient lies where channel c is bright."""

    def forward(self, x):
        return x.sum(dim=(2, 3))


def bright(label, size=6):
    """Pictures of one class each: their channel is positive, the others are zero."""
    x = torch.zeros(len(label), 3, size, size, dtype=torch.float64)
    noise = torch.rand(len(label), size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[torch.arange(len(label)), label] = 0.5 + noise
    return x


def by_hand(model, x, label, seed, method, *, resize=True):
    """Cut, paste, explain and add up one mosaic after the other."""
    drawn = mosaics(label, seed)
    found = dict.fromkeys(range(len(label)), math.nan)
    for sample, numbers, ours in zip(drawn.samples.tolist(), drawn.pictures.tolist(), drawn.ours.tolist(), strict=True):
        height, width = x.shape[2:] if resize else (2 * x.shape[2], 2 * x.shape[3])
        board = torch.zeros(1, x.shape[1], height, width, dtype=x.dtype)
        target_area = torch.zeros(height, width, dtype=torch.bool)
        for quadrant, (number, mine) in enumerate(zip(numbers, ours, strict=True)):
            rows_ = slice(0, height // 2) if quadrant < 2 else slice(height // 2, height)
            columns = slice(0, width // 2) if quadrant % 2 == 0 else slice(width // 2, width)
            size = (rows_.stop - rows_.start, columns.stop - columns.start)
            picture = x[number : number + 1]
            if size != tuple(x.shape[2:]):
                picture = nn.functional.interpolate(picture, size=size, mode="bilinear", antialias=True)
            board[0, :, rows_, columns] = picture[0]
            target_area[rows_, columns] = mine
        relevance = explain(model, board, method, target=label[sample : sample + 1]).values[0].sum(dim=0)
        inside = total = 0.0
        for value, here in zip(relevance.flatten().tolist(), target_area.flatten().tolist(), strict=True):
            total += max(value, 0)
            inside += max(value, 0) if here else 0
        found[sample] = inside / total if total else math.nan
    return torch.tensor([found[i] for i in range(len(label))], dtype=torch.float64)


def test_mosaics_hold_two_of_the_class_and_two_of_others():
    label = torch.randint(4, (40,), generator=torch.Generator().manual_seed(0))
    drawn = mosaics(label, seed=3)
    assert drawn.samples.tolist() == list(range(40))
    for sample, numbers, ours in zip(drawn.samples.tolist(), drawn.pictures, drawn.ours, strict=True):
        assert len(set(numbers.tolist())) == 4
        assert sample in numbers[ours].tolist()
        assert (label[numbers] == label[sample]).tolist() == ours.tolist()
        assert int(ours.sum()) == 2


def test_the_classes_pictures_stand_anywhere():
    label = torch.arange(2).repeat(150)
    drawn = mosaics(label)
    assert (drawn.ours.double().mean(dim=0) - 0.5).abs().max() < 0.1
    partners = drawn.pictures[drawn.ours].view(-1, 2)
    assert len(partners.unique()) > 150  # not always the same ones


def test_samples_without_company_have_no_mosaic():
    assert mosaics(torch.tensor([0, 0, 1, 2, 0])).samples.tolist() == [0, 1, 4]
    assert mosaics(torch.tensor([0, 0, 0, 1])).samples.tolist() == []
    assert mosaics(torch.tensor([0, 0, 1, 1])).samples.tolist() == [0, 1, 2, 3]


def test_the_choice_is_the_same_at_every_validation_and_moves_no_random_state():
    state = torch.get_rng_state()
    first, second, other = mosaics(LABEL, 1), mosaics(LABEL, 1), mosaics(LABEL, 2)
    assert torch.equal(first.pictures, second.pictures)
    assert torch.equal(first.ours, second.ours)
    assert not torch.equal(first.pictures, other.pictures)
    assert torch.equal(torch.get_rng_state(), state)


def test_tiles_lie_as_one_reads():
    tiles = [torch.full((1, 1, 2, 3), float(i)) for i in range(4)]
    assert tiled(tiles)[0, 0].tolist() == [[0, 0, 0, 1, 1, 1]] * 2 + [[2, 2, 2, 3, 3, 3]] * 2


@pytest.mark.parametrize("resize", [True, False])
@pytest.mark.parametrize("size", [6, 7])
@pytest.mark.parametrize("method", [InputXGradient(), Saliency(absolute=False), GradCAM(signed=True)])
def test_it_is_the_share_of_relevance_on_the_pictures_of_the_class(method, size, resize):
    model, x = Picture(), pictures(6, size)
    with evaluation_of(model, x, method, target=0, of={"label": LABEL}) as evaluation:
        got = Focus(resize, seed=4).per_sample(evaluation)
    expected = by_hand(model, x, LABEL, 4, method, resize=resize)
    torch.testing.assert_close(got, expected, equal_nan=True, atol=1e-9, rtol=1e-7)
    assert got.isnan().tolist() == [False] * 4 + [True, False]


def test_a_model_that_looks_at_its_class_is_in_focus():
    label = torch.tensor([0, 1, 2, 0, 1, 2])
    for resize in (True, False):
        with evaluation_of(Bright(), bright(label), "input_x_gradient", target=0, of={"label": label}) as evaluation:
            metric = Focus(resize)
            metric.update(evaluation)
        assert metric.score().per_sample == (1,) * 6


def test_a_map_that_is_the_same_everywhere_has_a_half():
    label = torch.arange(2).repeat(4)
    with evaluation_of(Bright(), bright(label), Saliency(), target=0, of={"label": label}) as evaluation:
        torch.testing.assert_close(Focus().per_sample(evaluation), torch.full((8,), 0.5).double())


def test_the_class_of_the_label_is_explained_whatever_the_target_is():
    x = pictures(6)
    values = []
    for target in (LABEL, "predicted", 2):
        with evaluation_of(Picture(), x, "input_x_gradient", target=target, of={"label": LABEL}) as evaluation:
            values.append(Focus().per_sample(evaluation))
    torch.testing.assert_close(values[0], values[1], equal_nan=True)
    torch.testing.assert_close(values[0], values[2], equal_nan=True)


def test_labels_that_are_no_output_are_undefined():
    label = torch.tensor([0, 0, 5, 5, -1, -1])
    with evaluation_of(Picture(), pictures(6), "input_x_gradient", target=0, of={"label": label}) as evaluation:
        assert Focus().per_sample(evaluation).isnan().tolist() == [False, False, True, True, True, True]
    with evaluation_of(Picture(), pictures(6), target=0, of={"label": torch.full((6,), 7)}) as evaluation:
        assert Focus().per_sample(evaluation).isnan().all()


def test_maps_without_positive_relevance_are_undefined():
    label = torch.tensor([0, 1, 0, 1])
    with evaluation_of(Bright(), -bright(label), "input_x_gradient", target=0, of={"label": label}) as evaluation:
        assert Focus().per_sample(evaluation).isnan().all()


def test_the_baseline_is_put_together_like_the_pictures():
    label, x = torch.tensor([0, 1, 0, 1]), bright(torch.tensor([0, 1, 0, 1]))
    with evaluation_of(Bright(), x, IntegratedGradients(2), target=0, of={"label": label}, baseline=x) as evaluation:
        assert Focus().per_sample(evaluation).isnan().all()  # everything is at its baseline
        away = replace(evaluation, problem=replace(evaluation.problem, baseline=torch.zeros_like(x)))
        assert Focus().per_sample(away).tolist() == pytest.approx([1] * 4)


def test_of_several_inputs_only_pictures_are_put_together():
    label, inputs = torch.tensor([0, 1, 0, 1]), (pictures(), rows())
    model = Pair()
    with evaluation_of(model, inputs, "input_x_gradient", target=0, of={"label": label}) as evaluation:
        got = Focus(seed=2).per_sample(evaluation)
    drawn = mosaics(label, 2)
    x, row = inputs
    small = nn.functional.interpolate(x, size=(3, 3), mode="bilinear", antialias=True)
    boards = torch.stack([
        torch.cat([torch.cat([small[a], small[b]], 2), torch.cat([small[c], small[d]], 2)], 1)
        for a, b, c, d in drawn.pictures
    ])
    relevance = explain(model, (boards, row), "input_x_gradient", target=label).values[0].sum(dim=1).clamp(min=0)
    quarters = relevance.view(4, 2, 3, 2, 3).sum(dim=(2, 4)).flatten(1)
    torch.testing.assert_close(got, (quarters * drawn.ours).sum(dim=1) / quarters.sum(dim=1))


def test_dicts_channels_last_and_elements_as_features():
    label, x = torch.tensor([0, 1, 0, 1]), pictures()

    class Last(Picture):
        def forward(self, image):
            return super().forward(image.movedim(-1, 1))

    values = []
    for model, inputs, channels in (
        (Picture(), x, 1),
        (Picture(), x, None),
        (Last(), {"image": x.movedim(1, -1).contiguous()}, -1),
    ):
        method, place = Saliency(), Input(channel_dim=channels)
        with evaluation_of(model, inputs, method, place=place, target=0, of={"label": label}) as evaluation:
            values.append(Focus().per_sample(evaluation))
    torch.testing.assert_close(values[0], values[1])  # saliency is positive in every channel
    torch.testing.assert_close(values[0], values[2])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_low_precision_models(dtype):
    label, x = torch.tensor([0, 1, 0, 1]), pictures()
    with evaluation_of(Picture(), x, Saliency(), target=0, of={"label": label}) as evaluation:
        exact = Focus().per_sample(evaluation)
    with evaluation_of(Picture().to(dtype), x.to(dtype), Saliency(), target=0, of={"label": label}) as evaluation:
        low = Focus().per_sample(evaluation)
    assert low.dtype == torch.float64
    torch.testing.assert_close(low, exact, atol=0.05 if dtype == torch.bfloat16 else 1e-5, rtol=0)


def test_it_costs_one_explanation_of_the_mosaics_there_are():
    model, seen = Picture(), []
    with evaluation_of(model, pictures(6), Saliency(), target=0, of={"label": LABEL}) as evaluation:
        handle = model.register_forward_hook(lambda module, args, out: seen.append(len(out)))
        Focus().per_sample(evaluation)
        handle.remove()
    assert sum(seen) == 5 + 5  # the explanations, and the outputs that an attribution holds


def test_it_needs_pictures_classes_and_labels():
    metric, x, method = Focus(), pictures(), Saliency()
    fitting = ProbeSet.from_tensors(x, label=torch.tensor([0, 1, 0, 1]))
    assert metric.missing(method, Input(), fitting) is None
    for space in (Layer("conv"), Neuron("conv", (0, 1, 1))):
        assert "explains no class at the input" in metric.missing(method, space, fitting)
    for probe, reason in (
        (ProbeSet.from_tensors(x, target=0), "mosaics need class labels; pass label="),
        (ProbeSet.from_tensors(x, label=torch.rand(4), target=0), "mosaics need class labels"),
        (
            ProbeSet.from_tensors(x, label=torch.tensor([0, 1, 0, 2])),
            "with at least 2 samples each, the probe set has 1",
        ),
        (ProbeSet.from_tensors(x, label=torch.tensor([0, 1, 0, 1]), target="output"), "not one output index"),
        (ProbeSet.from_tensors(x, label=torch.tensor([0, 1, 0, 1]), target=torch.zeros(4, 2).long()), "not one output"),
        (ProbeSet.from_tensors(rows(), label=torch.tensor([0, 1, 0, 1])), "made of pictures"),
    ):
        assert reason in metric.missing(method, Input(), probe)


def test_what_is_missing_is_said_when_scored():
    with (
        evaluation_of(Picture(), pictures()) as evaluation,
        pytest.raises(ValueError, match="focus needs class labels, and the probe set has none"),
    ):
        Focus().per_sample(evaluation)
    with (
        evaluation_of(Picture(), pictures(), place=Layer("conv"), of={"label": TARGET}) as evaluation,
        pytest.raises(ValueError, match="focus needs attributions of a class at the input"),
    ):
        Focus().per_sample(evaluation)


def test_complete_methods_too():
    label = torch.tensor([0, 1, 0, 1])
    with evaluation_of(Picture(), pictures(), IntegratedGradients(3), target=0, of={"label": label}) as evaluation:
        got = Focus(seed=1).per_sample(evaluation)
    expected = by_hand(Picture(), pictures(), label, 1, IntegratedGradients(3))
    torch.testing.assert_close(got, expected, atol=1e-9, rtol=1e-7)
