"""The names of ``captum.attr._core.dataloader_attr`` that scripts import."""

from lightning_explain.captum.attr.dataloader import DataLoaderAttribution as DataLoaderAttribution
from lightning_explain.captum.attr.dataloader import InputRole as InputRole
