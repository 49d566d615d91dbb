"""Grids of runs, on local processes or on Ray."""
