"""The figures of each task, from the scorers of its field."""
