"""`python .` runs the application; so does the container."""

from app.command_line import run_and_exit

run_and_exit()
