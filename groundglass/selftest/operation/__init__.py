"""Operational qualification: does the application find what is known to be there, and write what it promises?

Each check is a function that judges the runs of `runs`; a module has those that look at one thing.
"""
