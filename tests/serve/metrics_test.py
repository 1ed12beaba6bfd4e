"""The page for Prometheus has TensorFlow Serving's names."""

from tfzoo.serve.metrics import Metrics


def test_requests_are_counted_by_model_and_outcome():
    metrics = Metrics()
    for code in ("OK", "OK", "INVALID_ARGUMENT"):
        metrics.record("m", "Predict", code, 0.001)
    lines = metrics.text().splitlines()
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 2' in lines
    assert ':tensorflow:serving:request_count{model_name="m",status="INVALID_ARGUMENT"} 1' in lines


def test_times_are_a_cumulative_histogram_in_microseconds():
    metrics = Metrics()
    for seconds in (5e-6, 1e-5, 15e-6, 1e9):
        metrics.record("m", "Predict", "OK", seconds)
    labels = 'model_name="m",API="Predict",entrypoint="REST"'
    buckets = [
        int(line.rpartition(" ")[2])
        for line in metrics.text().splitlines()
        if line.startswith(f":tensorflow:serving:request_latency_bucket{{{labels},le=")
    ]
    assert buckets[:3] == [2, 3, 3]
    assert buckets[-2:] == [3, 4]
    assert f":tensorflow:serving:request_latency_count{{{labels}}} 4" in metrics.text()


def test_names_are_escaped():
    metrics = Metrics()
    metrics.record('a"b\\\n', "Predict", "OK", 1)
    assert 'model_name="a\\"b\\\\\\n"' in metrics.text()
