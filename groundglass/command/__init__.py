"""The command `groundglass` and its words, and what every command line of the project has in common."""
