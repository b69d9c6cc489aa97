"""`python -m groundglass.quality` reads results and tells of drift."""

from groundglass.quality.command_line import run_and_exit

run_and_exit()
