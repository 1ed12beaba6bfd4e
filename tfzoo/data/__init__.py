"""From files to batches: tables, splits, batches as a function of (seed, step)."""
