"""Names of fused layers: to which block a layer's time belongs."""

from __future__ import annotations

import pytest

from devices.agent.layer_names import owned, owners


@pytest.mark.parametrize(
    ("layer", "blocks"),
    [
        ("stage1.0/conv_0", ["stage1.0"]),
        ("stage1.0/conv_0 + stage1.0/relu_1", ["stage1.0"]),
        ("a/conv_0 || b/conv_0", ["a", "b"]),
        ("PWN(PWN(a/sigmoid_1), a/mul_2)", ["a"]),
        ("a/conv_0 + PWN(a/add_3, b/relu_0)", ["a", "b"]),
        ("{ForeignNode[a/conv_0...c/mul_4]}", ["a", "c"]),
        ("Reformatting CopyNode for Input Tensor 0 to a/conv_0", ["a"]),
        ("node_of_a/conv_0", ["a"]),
        ("a/conv_0_QuantizeLinear", ["a"]),
        ("graph_input_cast_0", []),
        ("__myl_MulAdd_myl0_3", []),
        ("/model/conv/Conv", []),
        ("", []),
    ],
)
def test_the_blocks_of_a_layer(layer: str, blocks: list[str]) -> None:
    assert owners(layer) == blocks
    name = owned(layer)
    assert name.endswith(layer)
    if blocks:
        assert name.partition("/")[0] == "+".join(blocks)
    else:
        assert name == layer
