"""Conditions on scores, and the verdict on one validation. Numbers and names only: no tensors, no trainer."""

from lightning_explain.gate.gate import Gate as Gate
from lightning_explain.gate.history import History as History
from lightning_explain.gate.language import AllOf as AllOf
from lightning_explain.gate.language import AnyOf as AnyOf
from lightning_explain.gate.language import Bound as Bound
from lightning_explain.gate.language import Condition as Condition
from lightning_explain.gate.language import Expression as Expression
from lightning_explain.gate.language import Lasting as Lasting
from lightning_explain.gate.language import Reading as Reading
from lightning_explain.gate.parser import parse as parse
from lightning_explain.gate.verdict import Reason as Reason
from lightning_explain.gate.verdict import Value as Value
from lightning_explain.gate.verdict import Verdict as Verdict
