"""Watching quality after deployment: what the results say day by day, and whether it has drifted."""
