"""Scores of attributions, a folder for each family, one file for each idea. To add one: a file, and a line here."""

from lightning_explain.metrics.axiomatic.completeness import CompletenessGap as CompletenessGap
from lightning_explain.metrics.complexity.degenerate import DegenerateRate as DegenerateRate
from lightning_explain.metrics.faithfulness.curves import SRG as SRG
from lightning_explain.metrics.faithfulness.curves import DeletionAUC as DeletionAUC
from lightning_explain.metrics.faithfulness.curves import InsertionAUC as InsertionAUC
from lightning_explain.metrics.faithfulness.infidelity import Infidelity as Infidelity
from lightning_explain.metrics.localisation.relevance_mass import RelevanceMass as RelevanceMass
from lightning_explain.metrics.localisation.relevance_rank import RelevanceRank as RelevanceRank
from lightning_explain.metrics.metric import METRICS as METRICS
from lightning_explain.metrics.metric import AttributionMetric as AttributionMetric
from lightning_explain.metrics.over_time.agreement import Agreement as Agreement
from lightning_explain.metrics.over_time.drift import Drift as Drift
from lightning_explain.metrics.over_time.drift import DriftFromBest as DriftFromBest
from lightning_explain.metrics.randomisation.cascade import MPRTBottomUp as MPRTBottomUp
from lightning_explain.metrics.randomisation.cascade import MPRTIndependent as MPRTIndependent
from lightning_explain.metrics.randomisation.cascade import MPRTTopDown as MPRTTopDown
from lightning_explain.metrics.randomisation.efficient import EfficientMPRT as EfficientMPRT
from lightning_explain.metrics.randomisation.mprt import MPRT as MPRT
from lightning_explain.metrics.randomisation.random_logit import RandomLogit as RandomLogit
from lightning_explain.metrics.randomisation.smooth import SmoothMPRT as SmoothMPRT
from lightning_explain.metrics.robustness.continuity import Continuity as Continuity
from lightning_explain.metrics.robustness.lipschitz import LocalLipschitz as LocalLipschitz
from lightning_explain.metrics.robustness.relative_stability import RelativeInputStability as RelativeInputStability
from lightning_explain.metrics.robustness.relative_stability import RelativeOutputStability as RelativeOutputStability
from lightning_explain.metrics.robustness.relative_stability import (
    RelativeRepresentationStability as RelativeRepresentationStability,
)
from lightning_explain.metrics.robustness.sensitivity import AverageSensitivity as AverageSensitivity
from lightning_explain.metrics.robustness.sensitivity import MaxSensitivity as MaxSensitivity
from lightning_explain.metrics.score import Score as Score
