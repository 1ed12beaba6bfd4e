"""An embedded server for one machine that speaks TensorFlow Serving's REST API, and its client."""
