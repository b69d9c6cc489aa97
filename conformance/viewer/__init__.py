"""`make viewer`: the outputs in a viewer library of others, and whether its screen shows what the files hold."""
