"""The built-in data sets: every file here registers its own; a new data set is a new file."""
