"""Checkpoints of other libraries, read strictly and written back, and Keras' own weight files."""
