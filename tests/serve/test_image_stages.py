"""What the line of a command says while an image is written."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from meshlang.serve import image_write


def test_layers_are_counted_from_one(monkeypatch):
    said, put = [], []
    monkeypatch.setattr(image_write, "stage", said.append)
    monkeypatch.setattr(image_write, "_put", lambda rows, header, segment, arrays, layer: put.append((arrays, layer)))
    place = SimpleNamespace(layers=3, layer_weights=lambda weights, layer, settled: (weights, layer, settled))
    store = SimpleNamespace(place=place, weights="weights")
    image_write._put_layers(np.zeros(0), None, SimpleNamespace(settled=True), store)
    assert said == [f"writing the image: layer {n} of 3" for n in (1, 2, 3)]
    assert put == [(("weights", layer, True), layer) for layer in range(3)]
