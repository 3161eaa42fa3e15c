"""Axiomatic: does the explanation keep its promises?"""
