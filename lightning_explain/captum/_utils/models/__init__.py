"""Models that explain others, by being simple."""

from lightning_explain.captum._utils.models.model import Model as Model
