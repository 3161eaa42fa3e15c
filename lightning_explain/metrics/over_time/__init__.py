"""Over time: how do explanations change, and do methods agree?"""
