"""Judging a finished checkpoint by the gate that would have let it through."""
