"""Robustness: does the explanation stay when the input hardly changes?"""
