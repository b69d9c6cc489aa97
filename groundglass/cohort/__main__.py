"""`python -m groundglass.cohort` analyses an archive."""

from groundglass.cohort.command_line import run_and_exit

if __name__ == "__main__":  # a worker of a cluster may import this module again
    run_and_exit()
