"""The ground: errors, extras, seeds, files, words, drawing, torch's threads and devices."""

from qnnw._common.signals import leave_early

# Before anything that takes its time is imported.
leave_early()
