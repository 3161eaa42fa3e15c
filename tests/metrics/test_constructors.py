"""What users set wrongly is named where they set it, not by an error of Python's at the first validation."""

import pytest

from lightning_explain.attribution.regions import EveryFeature, Grid
from lightning_explain.metrics import (
    IROF,
    METRICS,
    ROAD,
    SRG,
    Completeness,
    Comprehensiveness,
    Continuity,
    EffectiveComplexity,
    EfficientMPRT,
    FaithfulnessCorrelation,
    FaithfulnessEstimate,
    Infidelity,
    InputInvariance,
    MaxSensitivity,
    Monotonicity,
    MonotonicityCorrelation,
    NonSensitivity,
    PointingGame,
    RegionPerturbation,
    RelativeInputStability,
    SensitivityN,
    SmoothMPRT,
    TopKIntersection,
)
from lightning_explain.metrics.perturbation import Course, Subsets

PARTITION = r"partition must be one such as EveryFeature\(\), Grid\(4\), .*, got "


@pytest.mark.parametrize(
    ("cls", "settings", "message"),
    [
        (SRG, {"steps": "4"}, "steps must be an integer, got '4'"),
        (SRG, {"steps": 4.5}, "steps must be an integer, got 4.5"),
        (SRG, {"partition": "grid"}, PARTITION + "'grid'"),
        (SRG, {"partition": 16}, PARTITION + "16"),
        (SRG, {"partition": Grid}, PARTITION + "the class Grid"),
        (IROF, {"partition": "grid"}, PARTITION),
        (NonSensitivity, {"partition": 4}, PARTITION),
        (NonSensitivity, {"tolerance": "0"}, "tolerance must be a number, got '0'"),
        (FaithfulnessEstimate, {"partition": 4}, PARTITION),
        (MonotonicityCorrelation, {"partition": 4}, PARTITION),
        (MonotonicityCorrelation, {"draws": 2.5}, "draws must be an integer, got 2.5"),
        (Comprehensiveness, {"partition": 4}, PARTITION),
        (Comprehensiveness, {"shares": 0.1}, r"shares must be several numbers, such as \(0.1, 0.2\), got 0.1"),
        (Infidelity, {"subsets": 64}, r"subsets must be Subsets, such as Subsets\(count=64\), got 64"),
        (FaithfulnessCorrelation, {"subsets": 64}, "subsets must be Subsets"),
        (SensitivityN, {"subsets": None}, "subsets must be Subsets.*got None"),
        (ROAD, {"percentages": 10}, "percentages must be several numbers"),
        (RegionPerturbation, {"regions": 1.5}, "regions must be an integer"),
        (Monotonicity, {"tolerance": None}, "tolerance must be a number"),
        (Completeness, {"tolerance": "1 %"}, "tolerance must be a number"),
        (InputInvariance, {"shift": "1"}, "shift must be a number"),
        (MaxSensitivity, {"copies": 2.5}, "copies must be an integer"),
        (MaxSensitivity, {"radius": "0.1"}, "radius must be a number"),
        (RelativeInputStability, {"eps_min": "0.1"}, "eps_min must be a number"),
        (Continuity, {"distances": 2}, "distances must be several numbers"),
        (Continuity, {"distances": [0.5]}, "A distance must be an integer, got 0.5"),
        (Continuity, {"along": "x"}, "along must be an integer"),
        (PointingGame, {"tolerance": "15"}, "tolerance must be a number"),
        (TopKIntersection, {"k": "10"}, "k must be a number"),
        (EffectiveComplexity, {"threshold": "0.1"}, "threshold must be a number"),
        (EfficientMPRT, {"bins": "100"}, "bins must be an integer"),
        (SmoothMPRT, {"copies": "8"}, "copies must be an integer"),
        (SmoothMPRT, {"stdev": "8"}, "stdev must be a number"),
    ],
)
def test_wrong_kinds(cls, settings, message):
    with pytest.raises(TypeError, match=message):
        cls(**settings)


@pytest.mark.parametrize("name", [name for name, cls in METRICS.items() if "fill" in cls.__init__.__code__.co_varnames])
def test_unknown_fills(name):
    with pytest.raises(ValueError, match=r"No fill 'blurr'\. Did you mean 'blur'\?"):
        METRICS[name](fill="blurr")


def test_lists_are_as_good_as_tuples():
    """What is not hashable would fail where courses and sets are looked up."""
    assert Subsets(shares=[0.1, 0.2]) == Subsets(shares=(0.1, 0.2))
    assert hash(Course(EveryFeature(), shares=[0.0, 1.0])) == hash(Course(EveryFeature(), shares=(0.0, 1.0)))
    assert Comprehensiveness([0.1]).shares == (0.1,)
    assert ROAD([10, 50]).course == ROAD((10, 50)).course


def test_shares_in_the_place_of_percentages():
    with pytest.raises(ValueError, match=r"ROAD takes percentages, not shares: 10 is a tenth\. Got \(0\.1, 0\.2\)"):
        ROAD((0.1, 0.2))
    assert ROAD((0.5, 10)).course.shares == (0.005, 0.1)
