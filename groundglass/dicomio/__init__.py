"""DICOM in and out: scan, select and read a CT series as a volume; write what was found by the standard."""
