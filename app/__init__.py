"""The application: its graph, its command line."""
