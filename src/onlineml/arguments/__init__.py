"""Checks of the arguments of public functions, before any work is done, and the names nearest to a misspelt one."""
