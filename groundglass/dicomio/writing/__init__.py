"""From findings to DICOM objects, one module an object."""
