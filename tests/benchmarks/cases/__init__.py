"""What attribution methods are asked, here and with Captum: a file for each family."""

from tests.benchmarks.cases.asked import Case as Case
from tests.benchmarks.cases.gradients import gradient_cases
from tests.benchmarks.cases.layers import layer_cases, neuron_cases
from tests.benchmarks.cases.maps import map_cases
from tests.benchmarks.cases.perturbation import perturbation_cases
from tests.benchmarks.cases.rules import rule_cases

FAMILIES = (gradient_cases, rule_cases, perturbation_cases, layer_cases, neuron_cases, map_cases)


def all_cases(network):
    """Every line of a network's table."""
    return [case for family in FAMILIES for case in family(network)]
