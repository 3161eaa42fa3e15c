"""Captum's names for attribution."""
