"""Complexity: how much does the explanation say at once?"""
