"""Tokenizers as graph operations, and the training of their vocabularies."""
