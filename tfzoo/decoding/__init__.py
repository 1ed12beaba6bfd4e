"""Text generation: graph loops over `Model.step`."""
