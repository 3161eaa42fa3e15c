"""How little it takes to mislead a model: attacks, the least that succeeds, and how attacks compare."""

from lightning_explain.robust.attack import Attack as Attack
from lightning_explain.robust.attack import Bounds as Bounds
from lightning_explain.robust.comparison import Outcome as Outcome
from lightning_explain.robust.comparison import compare_attacks as compare_attacks
from lightning_explain.robust.fgsm import FGSM as FGSM
from lightning_explain.robust.minimal import Minimal as Minimal
from lightning_explain.robust.minimal import minimal_perturbation as minimal_perturbation
from lightning_explain.robust.norms import L2 as L2
from lightning_explain.robust.norms import LInf as LInf
from lightning_explain.robust.perturb import perturb as perturb
from lightning_explain.robust.pgd import PGD as PGD
