"""Where Captum keeps ``compute_gradients``."""

from lightning_explain.captum.gradient import compute_gradients as compute_gradients
