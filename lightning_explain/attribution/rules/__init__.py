"""Another backward pass, operator by operator: a table operator -> rule for each family of methods."""

from lightning_explain.attribution.rules.composites import COMPOSITES as COMPOSITES
from lightning_explain.attribution.rules.composites import Composite as Composite
from lightning_explain.attribution.rules.composites import epsilon_gamma_box as epsilon_gamma_box
from lightning_explain.attribution.rules.multipliers import ELEMENTWISE as ELEMENTWISE
from lightning_explain.attribution.rules.multipliers import MULTIPLIERS as MULTIPLIERS
from lightning_explain.attribution.rules.propagation import STEPS as STEPS
from lightning_explain.attribution.rules.propagation import activation as activation
from lightning_explain.attribution.rules.rectified import DECONVOLUTION as DECONVOLUTION
from lightning_explain.attribution.rules.rectified import GUIDED as GUIDED
from lightning_explain.attribution.rules.relevance import AlphaBeta as AlphaBeta
from lightning_explain.attribution.rules.relevance import Epsilon as Epsilon
from lightning_explain.attribution.rules.relevance import Flat as Flat
from lightning_explain.attribution.rules.relevance import Gamma as Gamma
from lightning_explain.attribution.rules.relevance import Pass as Pass
from lightning_explain.attribution.rules.relevance import WSquare as WSquare
from lightning_explain.attribution.rules.relevance import ZBox as ZBox
from lightning_explain.attribution.rules.relevance import ZPlus as ZPlus
from lightning_explain.attribution.rules.reweighted import Exchanged as Exchanged
from lightning_explain.attribution.rules.reweighted import Weighted as Weighted
