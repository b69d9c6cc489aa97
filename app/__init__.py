"""The application: its graph, settings, command line and exit codes."""

NAME = "Groundglass"
VERSION = "0.1.0"
