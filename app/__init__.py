"""The application: its graph, settings, command line and exit codes."""

from pathlib import Path

NAME = "Groundglass"
VERSION = "0.1.0"
SETTINGS_FILE = Path(__file__).resolve().parent.parent / "app.yaml"
