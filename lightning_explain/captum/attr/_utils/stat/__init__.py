"""Statistics of tensors that come one after the other, elementwise."""

from lightning_explain.captum.attr._utils.stat.accumulated import GeneralAccumFn as GeneralAccumFn
from lightning_explain.captum.attr._utils.stat.accumulated import Max as Max
from lightning_explain.captum.attr._utils.stat.accumulated import Min as Min
from lightning_explain.captum.attr._utils.stat.accumulated import Sum as Sum
from lightning_explain.captum.attr._utils.stat.common import CommonStats as CommonStats
from lightning_explain.captum.attr._utils.stat.moments import MSE as MSE
from lightning_explain.captum.attr._utils.stat.moments import Count as Count
from lightning_explain.captum.attr._utils.stat.moments import Mean as Mean
from lightning_explain.captum.attr._utils.stat.moments import StdDev as StdDev
from lightning_explain.captum.attr._utils.stat.moments import Var as Var
from lightning_explain.captum.attr._utils.stat.statistic import Stat as Stat
from lightning_explain.captum.attr._utils.stat.statistic import StatValue as StatValue
