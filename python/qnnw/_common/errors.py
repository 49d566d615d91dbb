"""The root of errors that a user can mend: the command line shows them in a line."""

from __future__ import annotations


class UserError(Exception):
    """Something outside the program is missing, damaged, in use or out of range."""


class FileError(UserError, RuntimeError):
    """A file that qnnw wrote is missing, damaged, of another format, or of something else."""
