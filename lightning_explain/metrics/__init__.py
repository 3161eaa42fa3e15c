"""Scores of attributions, a folder for each family, one file for each idea. To add one: a file, and a line here."""

from lightning_explain.metrics.axiomatic.completeness import Completeness as Completeness
from lightning_explain.metrics.axiomatic.completeness import CompletenessGap as CompletenessGap
from lightning_explain.metrics.axiomatic.input_invariance import InputInvariance as InputInvariance
from lightning_explain.metrics.axiomatic.non_sensitivity import NonSensitivity as NonSensitivity
from lightning_explain.metrics.complexity.complexity import Complexity as Complexity
from lightning_explain.metrics.complexity.degenerate import DegenerateRate as DegenerateRate
from lightning_explain.metrics.complexity.effective_complexity import EffectiveComplexity as EffectiveComplexity
from lightning_explain.metrics.complexity.sparseness import Sparseness as Sparseness
from lightning_explain.metrics.faithfulness.curves import SRG as SRG
from lightning_explain.metrics.faithfulness.curves import DeletionAUC as DeletionAUC
from lightning_explain.metrics.faithfulness.curves import InsertionAUC as InsertionAUC
from lightning_explain.metrics.faithfulness.infidelity import Infidelity as Infidelity
from lightning_explain.metrics.localisation.attribution_localisation import (
    AttributionLocalisation as AttributionLocalisation,
)
from lightning_explain.metrics.localisation.focus import Focus as Focus
from lightning_explain.metrics.localisation.localisation_auc import LocalisationAUC as LocalisationAUC
from lightning_explain.metrics.localisation.pointing_game import PointingGame as PointingGame
from lightning_explain.metrics.localisation.relevance_mass import RelevanceMass as RelevanceMass
from lightning_explain.metrics.localisation.relevance_rank import RelevanceRank as RelevanceRank
from lightning_explain.metrics.localisation.top_k_intersection import TopKIntersection as TopKIntersection
from lightning_explain.metrics.metric import METRICS as METRICS
from lightning_explain.metrics.metric import AttributionMetric as AttributionMetric
from lightning_explain.metrics.over_time.agreement import Agreement as Agreement
from lightning_explain.metrics.over_time.drift import Drift as Drift
from lightning_explain.metrics.over_time.drift import DriftFromBest as DriftFromBest
from lightning_explain.metrics.randomisation.mprt import MPRT as MPRT
from lightning_explain.metrics.robustness.sensitivity import AverageSensitivity as AverageSensitivity
from lightning_explain.metrics.robustness.sensitivity import MaxSensitivity as MaxSensitivity
from lightning_explain.metrics.score import Score as Score
