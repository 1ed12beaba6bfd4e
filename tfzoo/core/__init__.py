"""Plain-Python foundations: config, experiment, durations, files, weight-name rules, cards."""
