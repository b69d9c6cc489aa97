"""The validator's package: does this copy, on this machine, do what Groundglass promises?

Installation qualification (IQ) verifies the copy against the build record; operational qualification (OQ) sends studies
whose truth is known, and bad ones, through the whole application. `catalogue` lists the requirements and the checks.
"""
