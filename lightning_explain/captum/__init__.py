"""Captum's public names: shells around the engine, without mathematics of their own."""
