"""The small SavedModels of tests/export, and servers that run them."""

from tests.export.conftest import tiny_models as tiny_models
