"""A retrospective archive: every study of a folder through the application, on one machine or on a Ray cluster."""
