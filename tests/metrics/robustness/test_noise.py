import torch
from metrics.evaluations import TARGET, Pair, evaluation_of, pictures, rows

from lightning_explain.metrics.robustness.noise import (
    Noise,
    displacement,
    noisy_copies,
    noisy_explanations,
    noisy_outputs,
    worst,
)


def test_outputs_are_those_for_the_copies_that_are_explained():
    model, inputs = Pair(), (pictures(), rows())
    noise = Noise(3, 0.2, 4)
    with evaluation_of(model, inputs) as evaluation:
        explained, outputs = noisy_explanations(evaluation, noise), noisy_outputs(evaluation, noise)
        assert noisy_outputs(evaluation, noise) is outputs
    with torch.no_grad():
        for (noisy, _), given in zip(explained, outputs, strict=True):
            torch.testing.assert_close(given, model(*noisy))
    assert len(outputs) == 3


def test_methods_share_the_outputs_and_noises_do_not():
    seen = []
    model = Pair()
    model.register_forward_hook(lambda _module, args, _result: seen.append(len(args[0])))
    with evaluation_of(model, (pictures(), rows())) as evaluation:
        seen.clear()
        for _ in range(2):
            noisy_outputs(evaluation, Noise(2, 0.1, 0))
        assert sum(seen) == 2 * len(TARGET)
        noisy_outputs(evaluation, Noise(2, 0.1, 1))
        assert sum(seen) == 4 * len(TARGET)


def test_integers_have_no_part_in_the_displacement():
    inputs = {"x": rows().float(), "ids": torch.arange(8).view(4, 2)}
    copy = next(noisy_copies(inputs, Noise(1, 0.5, 0)))
    (moved,) = displacement(copy, inputs)
    assert moved.dtype == torch.float64
    torch.testing.assert_close(moved, copy["x"].double() - inputs["x"].double())


def test_the_worst_of_those_that_count():
    nan = torch.nan
    values = torch.tensor([[1.0, 5.0, nan, 2.0, nan], [3.0, 4.0, 1.0, nan, 9.0]])
    counts = torch.tensor([[True, False, False, True, False], [True, True, True, True, False]])
    torch.testing.assert_close(worst(values, counts), torch.tensor([3.0, 4.0, 1.0, nan, nan]), equal_nan=True)
