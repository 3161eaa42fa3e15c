"""Scores of attributions, a folder for each family, one file for each idea. To add one: a file, and a line here."""

from lightning_explain.metrics.axiomatic.completeness import Completeness as Completeness
from lightning_explain.metrics.axiomatic.completeness import CompletenessGap as CompletenessGap
from lightning_explain.metrics.axiomatic.input_invariance import InputInvariance as InputInvariance
from lightning_explain.metrics.axiomatic.non_sensitivity import NonSensitivity as NonSensitivity
from lightning_explain.metrics.complexity.complexity import Complexity as Complexity
from lightning_explain.metrics.complexity.degenerate import DegenerateRate as DegenerateRate
from lightning_explain.metrics.complexity.effective_complexity import EffectiveComplexity as EffectiveComplexity
from lightning_explain.metrics.complexity.sparseness import Sparseness as Sparseness
from lightning_explain.metrics.faithfulness.confidence import AverageDrop as AverageDrop
from lightning_explain.metrics.faithfulness.confidence import IncreaseInConfidence as IncreaseInConfidence
from lightning_explain.metrics.faithfulness.curves import SRG as SRG
from lightning_explain.metrics.faithfulness.curves import DeletionAUC as DeletionAUC
from lightning_explain.metrics.faithfulness.curves import InsertionAUC as InsertionAUC
from lightning_explain.metrics.faithfulness.faithfulness_correlation import (
    FaithfulnessCorrelation as FaithfulnessCorrelation,
)
from lightning_explain.metrics.faithfulness.faithfulness_estimate import FaithfulnessEstimate as FaithfulnessEstimate
from lightning_explain.metrics.faithfulness.infidelity import Infidelity as Infidelity
from lightning_explain.metrics.faithfulness.irof import IROF as IROF
from lightning_explain.metrics.faithfulness.monotonicity import Monotonicity as Monotonicity
from lightning_explain.metrics.faithfulness.monotonicity_correlation import (
    MonotonicityCorrelation as MonotonicityCorrelation,
)
from lightning_explain.metrics.faithfulness.pixel_flipping import PixelFlipping as PixelFlipping
from lightning_explain.metrics.faithfulness.rationale import Comprehensiveness as Comprehensiveness
from lightning_explain.metrics.faithfulness.rationale import Sufficiency as Sufficiency
from lightning_explain.metrics.faithfulness.region_perturbation import RegionPerturbation as RegionPerturbation
from lightning_explain.metrics.faithfulness.road import ROAD as ROAD
from lightning_explain.metrics.faithfulness.selectivity import Selectivity as Selectivity
from lightning_explain.metrics.faithfulness.sensitivity_n import SensitivityN as SensitivityN
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
