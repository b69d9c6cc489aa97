"""`make conformance`: every output, in every orientation, through the validators and readers of other people."""
