"""The PACS loop: a bridge that has the application analyse what Orthanc receives, and stores the results there."""
