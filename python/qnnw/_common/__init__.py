"""The ground: errors, extras, seeds, files, words, drawing, torch's threads and devices."""
