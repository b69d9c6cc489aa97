"""`python -m app.quality` reads results and tells of drift."""

from app.quality.command_line import run_and_exit

run_and_exit()
