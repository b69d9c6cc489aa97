from app.command_line import run_and_exit

run_and_exit()
