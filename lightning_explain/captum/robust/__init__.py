"""Captum's ``captum.robust``: attacks, and how well a model withstands them."""

from lightning_explain.captum.robust.attack_comparator import AttackComparator as AttackComparator
from lightning_explain.captum.robust.fgsm import FGSM as FGSM
from lightning_explain.captum.robust.min_param_perturbation import MinParamPerturbation as MinParamPerturbation
from lightning_explain.captum.robust.perturbation import Perturbation as Perturbation
from lightning_explain.captum.robust.pgd import PGD as PGD
