"""Captum's public names."""
