"""`make viewer`: the outputs in the viewers of others, OHIF on an archive and 3D Slicer, held against the files."""
