import pytest
import torch
from cases import BY_NAME
from torch import Tensor, nn
from worlds import TARGETS, net, samples

from lightning_explain import (
    Conductance,
    DeepLift,
    FeatureAblation,
    GradCAM,
    InputXGradient,
    IntegratedGradients,
    Layer,
    Layers,
    Neuron,
    Saliency,
    explain,
)
from lightning_explain.attribution.methods import Method


def test_gradients_of_layers_behind_one_another_come_from_one_pass() -> None:
    model, x = net(), samples()
    places = (Layer("conv1"), Layer("head", of="input"), Layer("conv2"))
    seen: list[int] = []
    model.conv1.register_forward_hook(lambda _m, _args, out: seen.append(len(out)))
    for method in (Saliency(), InputXGradient(), GradCAM(signed=True)):
        if method.coarse:
            places = places[::2]  # where there are positions
        seen.clear()
        found = explain(model, x, method, Layers(places), TARGETS)
        assert sum(seen) == 3  # and the outputs
        assert found.method == f"{method.name}@" + "+".join(str(place)[1:] for place in places)
        assert found.names == tuple(str(place)[1:] for place in places)
        for place, values in zip(places, found.values, strict=True):
            alone = explain(model, x, method, Layers((place,)) if method.coarse else place, TARGETS).values
            torch.testing.assert_close(values, alone, rtol=0, atol=1e-12)


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.places, self.head = nn.Embedding(9, 4), nn.Embedding(5, 4), nn.Linear(4, 3)

    def forward(self, ids: Tensor, where: Tensor) -> Tensor:
        return self.head((self.words(ids) + self.places(where)).tanh().sum(dim=1))


def test_layers_side_by_side_share_the_line() -> None:
    torch.manual_seed(0)
    model = Embedded().double()
    ids, where = torch.randint(1, 9, (6, 5)), torch.arange(5).expand(6, -1).contiguous()
    baseline = (torch.zeros_like(ids), torch.zeros_like(where))
    both = Layers(("words", "places"))
    found = explain(model, (ids, where), IntegratedGradients(20), both, 1, baseline=baseline)
    assert found.names == ("words", "places")
    assert found.delta.abs().max() < 1e-8
    words, places = (table.weight.detach() for table in (model.words, model.places))
    nodes = [(0.5 - 15**0.5 / 10, 5 / 18), (0.5, 8 / 18), (0.5 + 15**0.5 / 10, 5 / 18)]
    three = explain(model, (ids, where), IntegratedGradients(3), both, 1, baseline=baseline).values
    for position in range(5):
        change = (words[ids[0, position]] - words[0], places[position] - places[0])
        start = words[0] + places[0]
        slope = (
            sum(w * (1 - torch.tanh(start + a * sum(change)) ** 2) for a, w in nodes) * model.head.weight[1].detach()
        )
        for values, difference in zip(three, change, strict=True):
            torch.testing.assert_close(values[0, position], difference * slope, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", [Saliency(), IntegratedGradients(4), Conductance(4)], ids=lambda method: method.name)
def test_every_run_of_a_module_can_be_named(method: object) -> None:
    case = BY_NAME["residual"]
    model, x = case.model(), case.inputs()

    class Unrolled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.first, self.second, self.head = model.stem, nn.Linear(6, 6), nn.Linear(6, 6), model.head
            for twin in (self.first, self.second):
                twin.load_state_dict(model.block.state_dict())

        def forward(self, given: Tensor) -> Tensor:
            given = self.stem(given).relu()
            given = given + self.first(given).relu()
            return self.head(given + self.second(given).relu())

    twin = Unrolled().double()
    for call, name in enumerate(("first", "second")):
        found = explain(model, x, method, Layer("block", call=call), 1)
        assert found.method == f"{method.name}@block" + (f"#{call}" if call else "")
        torch.testing.assert_close(found.values, explain(twin, x, method, Layer(name), 1).values, rtol=0, atol=1e-12)
    (unit,) = explain(model, x, "saliency", Neuron("block", 2, call=1)).point
    torch.testing.assert_close(unit, explain(twin, x, "saliency", Neuron("second", 2)).values, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "method", [Saliency(), IntegratedGradients(4), Conductance(4), FeatureAblation(), DeepLift()], ids=lambda m: m.name
)
def test_runs_are_counted_from_the_end_too(method: Method) -> None:
    case = BY_NAME["residual"]
    model, x = case.model(), case.inputs()
    for call, same in ((-1, 1), (-2, 0)):
        found = explain(model, x, method, Layer("block", call=call), 1)
        expected = explain(model, x, method, Layer("block", call=same), 1)
        assert str(found.place) == f"@block#{call}"
        torch.testing.assert_close(found.values, expected.values, rtol=0, atol=1e-12)
    (unit,) = explain(model, x, "saliency", Neuron("block", 2, call=-1)).point
    torch.testing.assert_close(unit, explain(model, x, "saliency", Neuron("block", 2, call=1)).values)


@pytest.mark.parametrize(
    "method", [Saliency(), IntegratedGradients(4), FeatureAblation(), DeepLift()], ids=lambda m: m.name
)
def test_several_layers_may_hold_several_tensors_each(method: Method) -> None:
    case = BY_NAME["recurrent"]
    model, x = case.model(), case.inputs()
    place = Layers(("lstm", Layer("head", of="input")))
    found = explain(model, x, method, place, 0)
    assert found.names == ("lstm[0]", "lstm[1]", "lstm[2]", "head:input")
    expected = explain(model, x, method, Layers((Layer("head", of="input"),)), 0)
    torch.testing.assert_close(found.point[3], expected.point[0], rtol=0, atol=1e-12)
    if method == Saliency():  # from one pass; others replace the layer behind it
        alone = explain(model, x, method, Layer("lstm"), 0)
        for left, right in zip(found.point, alone.point, strict=False):
            torch.testing.assert_close(left, right, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Layers(()), "Expected some layers, all of them different, got"),
        (lambda: Layers(("a", "b", "a")), r"all of them different, got \['@a', '@b', '@a'\]"),
        (
            lambda: explain(net(), samples(), "saliency", Layer("conv1", call=1), 0),
            r"The layer 'conv1' ran 1 time\(s\) in the model's forward pass; call=1 asks for run number 2",
        ),
        (
            lambda: explain(net(), samples(), "saliency", Layer("conv1", call=-2), 0),
            r"The layer 'conv1' ran 1 time\(s\) in the model's forward pass; call=-2 asks for run number -2",
        ),
        (lambda: explain(net(), samples(), "saliency", Layers(("conv1", "conv3")), 0), "No layer 'conv3'"),
    ],
)
def test_what_cannot_be_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
