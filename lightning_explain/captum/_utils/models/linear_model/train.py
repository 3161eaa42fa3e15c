"""The ways to fit a linear model, by Captum's names."""

from lightning_explain.captum._utils.models.linear_model.descent import l2_loss as l2_loss
from lightning_explain.captum._utils.models.linear_model.descent import sgd_train_linear_model as sgd_train_linear_model
from lightning_explain.captum._utils.models.linear_model.minimum import (
    sklearn_train_linear_model as sklearn_train_linear_model,
)
