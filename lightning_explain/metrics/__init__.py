"""Scores of attributions, one file for each idea. To add one: a file, and a line here."""

from lightning_explain.metrics.completeness import CompletenessGap as CompletenessGap
from lightning_explain.metrics.curves import SRG as SRG
from lightning_explain.metrics.curves import DeletionAUC as DeletionAUC
from lightning_explain.metrics.curves import InsertionAUC as InsertionAUC
from lightning_explain.metrics.degenerate import DegenerateRate as DegenerateRate
from lightning_explain.metrics.drift import Drift as Drift
from lightning_explain.metrics.infidelity import Infidelity as Infidelity
from lightning_explain.metrics.localisation import RelevanceMass as RelevanceMass
from lightning_explain.metrics.localisation import RelevanceRank as RelevanceRank
from lightning_explain.metrics.max_sensitivity import MaxSensitivity as MaxSensitivity
from lightning_explain.metrics.metric import METRICS as METRICS
from lightning_explain.metrics.metric import AttributionMetric as AttributionMetric
from lightning_explain.metrics.metric import Score as Score
from lightning_explain.metrics.mprt import MPRT as MPRT
