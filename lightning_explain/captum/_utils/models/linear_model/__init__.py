"""Linear models, by Captum's names."""

from lightning_explain.captum._utils.models.linear_model.model import LinearModel as LinearModel
from lightning_explain.captum._utils.models.linear_model.model import SGDLasso as SGDLasso
from lightning_explain.captum._utils.models.linear_model.model import SGDLinearModel as SGDLinearModel
from lightning_explain.captum._utils.models.linear_model.model import SGDLinearRegression as SGDLinearRegression
from lightning_explain.captum._utils.models.linear_model.model import SGDRidge as SGDRidge
from lightning_explain.captum._utils.models.linear_model.model import SkLearnLasso as SkLearnLasso
from lightning_explain.captum._utils.models.linear_model.model import SkLearnLinearModel as SkLearnLinearModel
from lightning_explain.captum._utils.models.linear_model.model import SkLearnLinearRegression as SkLearnLinearRegression
from lightning_explain.captum._utils.models.linear_model.model import (
    SkLearnLogisticRegression as SkLearnLogisticRegression,
)
from lightning_explain.captum._utils.models.linear_model.model import SkLearnRidge as SkLearnRidge
from lightning_explain.captum._utils.models.linear_model.model import SkLearnSGDClassifier as SkLearnSGDClassifier
