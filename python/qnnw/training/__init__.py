"""Runs: settings, trainers, evaluation, the folder of a run, export, pictures."""
