"""Captum's own tests, run against our names: the yardstick of ``lightning_explain.captum``.

Neither Captum nor its tests are part of this repository: the first is the installed package, the second the source
distribution 0.3.1, the newest one that carries tests. ``python -m tests.conformance --suite PATH`` runs them.
"""
