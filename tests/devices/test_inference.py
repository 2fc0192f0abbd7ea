"""What a graph answers, in whatever batches it takes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from devices.inference import Classifier, InferenceError


def graph(batch: int | str, shape_out: list[int | str] | None = None, *, inputs: int = 1) -> bytes:
    """Mean over height and width: the class of an image is its brightest channel."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["input0"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["output"]),
    ]
    values = [
        helper.make_tensor_value_info(f"input{number}", TensorProto.FLOAT, [batch, 3, 4, 4])
        for number in range(inputs)
    ]
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, shape_out or [batch, 3])
    model = helper.make_model(
        helper.make_graph(nodes, "brightest", values, [output]),
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 13)],
    )
    helper.set_model_props(model, {"note": "kept"})
    found: bytes = model.SerializeToString()
    return found


@pytest.mark.parametrize("batch", [1, 4, "N"])
def test_every_image_is_answered_once_in_order(batch: int | str) -> None:
    rng = np.random.default_rng(0)
    images = rng.random((11, 3, 4, 4), np.float32)
    classifier = Classifier(graph(batch))
    assert classifier.classes == 3
    assert classifier.notes == {"note": "kept"}
    found = np.concatenate(list(classifier.predicted([images[:5], images[5:]])))
    assert found.tolist() == images.mean((2, 3)).argmax(1).tolist()


def test_the_batch_is_told_where_it_is_fixed() -> None:
    assert Classifier(graph(4)).shape_in == (4, 3, 4, 4)
    assert Classifier(graph("N")).shape_in == (None, 3, 4, 4)


def test_a_graph_that_is_no_classifier_of_images_is_refused() -> None:
    with pytest.raises(InferenceError, match="one input"):
        _ = Classifier(graph(1, inputs=2)).shape_in
    with pytest.raises(InferenceError, match="cannot load"):
        _ = Classifier(b"no graph").shape_in
    flat = onnx.load_from_string(graph(1))
    flat.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "H"
    with pytest.raises(InferenceError, match="fixed size"):
        _ = Classifier(flat.SerializeToString()).shape_in
