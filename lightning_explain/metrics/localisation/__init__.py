"""Localisation: does the explanation lie where it should?"""
