"""Hostile input, made by chance: what becomes of it must be an explained refusal, or the right volume.

`mutations` draws series with anything at all in their headers, for test_any_header.py.
`python -m tests.fuzz` looks for input that a program guided by coverage finds worth trying, as long as it is told to.
"""
