"""The trainer: one loop for every strategy, exact resume, TensorBoard."""
