import pytest
import torch
from metrics.evaluations import TARGET, Picture, pictures

from lightning_explain.robust import FGSM, PGD, compare_attacks, perturb


def test_it_is_what_each_attack_does():
    model, x = Picture(), pictures()
    attacks = {"one step": FGSM(0.3), "five steps": PGD(0.3, 0.1, 5)}
    outcomes = compare_attacks(model, x, attacks, "label", label=TARGET)
    assert list(outcomes) == ["original", "one step", "five steps"]
    torch.testing.assert_close(outcomes["original"].inputs, x)
    for name, outcome in outcomes.items():
        moved = perturb(model, x, attacks[name], TARGET) if name in attacks else x
        with torch.no_grad():
            out = model(moved)
        torch.testing.assert_close(outcome.inputs, moved)
        assert torch.equal(outcome.correct, out.argmax(dim=1) == TARGET)
        torch.testing.assert_close(outcome.surprise, torch.nn.functional.cross_entropy(out, TARGET, reduction="none"))
        assert outcome.accuracy == float((out.argmax(dim=1) == TARGET).double().mean())
    assert bool((outcomes["one step"].surprise > outcomes["original"].surprise).all())


def test_masks_and_bad_input():
    model, x = Picture(), pictures()
    held = compare_attacks(model, x, {"held": FGSM(0.3)}, TARGET, mask=torch.zeros(1))["held"]
    torch.testing.assert_close(held.inputs, x)
    with pytest.raises(ValueError, match="The name 'original' stands for the samples without an attack"):
        compare_attacks(model, x, {"original": FGSM(0.3)}, TARGET)
    with pytest.raises(TypeError, match=r"An attack is one such as FGSM\(epsilon=0\.1\), got FGSM"):
        compare_attacks(model, x, {"fgsm": FGSM})
    with pytest.raises(TypeError, match="attacks must be Mapping, such as"):
        compare_attacks(model, x, [FGSM(0.3)], TARGET)
    with pytest.raises(ValueError, match=r"Attacks are compared on outputs \(n, classes\), got shape \(4,\)"):
        compare_attacks(model, x, {}, "output", forward=lambda model, x: model(x)[:, 0])
