"""Randomisation: does the explanation depend on the model at all?"""
