"""`python -m app` and `python app` run the application."""

import sys
from pathlib import Path

# `python app` puts this folder first on the path, not its parent.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app.command_line import run_and_exit

run_and_exit()
