"""Keras layers that every architecture is assembled from. `keras.ops` only: no TensorFlow here.

Dimension key, used as a suffix on every tensor name in `tfzoo.layers` and `tfzoo.models`:

    b  batch              d  model width          h  attention head
    t  token position     f  feed-forward width   e  width of one head
    q  query position     v  vocabulary entry     s  segment
    k  key position       n  rows: b times t, flattened for one plain matrix product
"""
