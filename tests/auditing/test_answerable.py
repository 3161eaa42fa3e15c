import pytest

from lightning_explain.auditing.answerable import Asked, asked_by
from lightning_explain.gate import Gate, History

A = "attribution"
NOTHING = History()


def asked(gate, history=NOTHING):
    return asked_by(Gate.parse(gate), A, history)


def test_methods_metrics_and_classes_are_those_that_the_gate_names():
    gate = f"lower({A}/saliency/srg/class_2) > random or {A}/grad_cam@conv/srg >= 1 and {A}/random@conv/infidelity > 0"
    assert asked(gate) == Asked(("saliency", "grad_cam@conv"), ("srg", "infidelity"), per_class=True)
    assert not asked(f"{A}/saliency/srg >= 0").per_class


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ("val_acc >= 0", "asks for 'val_acc'; a checkpoint alone has scores attribution/<method>"),
        (f"{A}/saliency/srq >= 0", "Did you mean 'srg'"),
        (f"{A}/random/srg >= 0", "a score of random attributions, .*; name one too, such as attribution/saliency/srg"),
        (f"{A}/saliency/drift <= 1", "drift needs the attributions at the validation before, which only a run knows"),
        (f"{A}/saliency/drift_from_best <= 1", "needs the attributions at the best validation, which only a run knows"),
        (f"{A}/saliency/agreement >= 0", "how far methods agree, and names saliency alone"),
        (f"{A}/saliency/srg >= best", "the checkpoint knows none: only a run whose own gate"),
        (f"{A}/saliency/srg >= 0 for 3 validations", r"does not know for how long .* Ask for 'attribution/.*srg >= 0'"),
        (
            f"({A}/saliency/srg >= 0 for 2 validations or {A}/saliency/infidelity <= 1) for 1 validations",
            "for 2 valida",
        ),
    ],
)
def test_what_only_a_run_knows(gate, message):
    with pytest.raises(ValueError, match=message):
        asked(gate)


def test_what_the_run_wrote_down_can_be_asked_for():
    score = f"{A}/saliency/srg"
    history = History({score: 0.3}, {f"{score} >= 0": 1})
    assert asked([f"{score} >= best - 0.1", f"{score} >= 0 for 3 validations"], history).metrics == ("srg",)
    assert asked(f"{score} >= 0 for 1 validations").metrics == ("srg",)
