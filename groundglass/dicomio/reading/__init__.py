"""From files to a CT volume: scan, choice of a series, geometry, pixels."""
