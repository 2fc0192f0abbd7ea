"""Fitted predictors as ONNX graphs: features in, milliseconds out, for programs without Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from predictors.model_file import Model

if TYPE_CHECKING:
    import onnx

    from predictors.estimators.trees import Trees

OPSET, ML_OPSET, IR_VERSION = 13, 3, 8
_LEAF, _BRANCH = "LEAF", "BRANCH_LEQ"


def predictor_model(model: Model) -> onnx.ModelProto:
    """A graph from `features` (networks, columns) to `latency_ms` (networks, 1).

    float64 for linear models and Gaussian processes; trees are float32, as the operator is. Intervals are not
    in it.

    Raises:
        TypeError: a model that has no graph.
    """
    from onnx import TensorProto, checker, helper

    from predictors.estimators.automatic import AutomaticRegressor
    from predictors.estimators.gaussian_process import GroupedGaussianProcess
    from predictors.estimators.ridge import RidgeRegression
    from predictors.estimators.trees import GradientBoosting, RandomForest

    chosen = model.chosen_ if isinstance(model, AutomaticRegressor) else model
    if isinstance(chosen, GroupedGaussianProcess | RidgeRegression):
        kind = TensorProto.DOUBLE
        nodes, constants = _linear(*chosen.as_linear())
    elif isinstance(chosen, GradientBoosting | RandomForest):
        kind = TensorProto.FLOAT
        nodes, constants = [_trees(chosen.trees_)], []
    else:
        raise TypeError(f"{type(chosen).__name__} has no ONNX graph")
    smallest = chosen.range_ms_[0] / 2 if chosen.range_ms_[0] > 0 else -np.inf
    constants.append(_constant("smallest", np.array(smallest), kind))
    nodes.append(helper.make_node("Max", ["predicted", "smallest"], ["latency_ms"]))
    graph = helper.make_graph(
        nodes,
        "latency",
        [helper.make_tensor_value_info("features", kind, ["networks", chosen.n_features_in_])],
        [helper.make_tensor_value_info("latency_ms", kind, ["networks", 1])],
        constants,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    made = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=opsets, producer_name="hwprofile")
    checker.check_model(made)
    return made


def _constant(name: str, values: Any, kind: int) -> Any:
    from onnx import helper, numpy_helper

    return numpy_helper.from_array(values.astype(helper.tensor_dtype_to_np_dtype(kind)), name)


def _linear(weights: Any, constant_ms: float) -> tuple[list[Any], list[Any]]:
    from onnx import TensorProto, helper

    constants = [
        _constant("weights", weights[:, None], TensorProto.DOUBLE),
        _constant("constant_ms", np.array(constant_ms), TensorProto.DOUBLE),
    ]
    product = helper.make_node("MatMul", ["features", "weights"], ["product"])
    return [product, helper.make_node("Add", ["product", "constant_ms"], ["predicted"])], constants


def _trees(trees: Trees) -> Any:
    """One TreeEnsembleRegressor; nodes count from 0 in every tree."""
    from onnx import helper

    count = len(trees.feature)
    tree = np.searchsorted(trees.roots, np.arange(count), side="right") - 1
    own = np.arange(count) - trees.roots[tree]
    leaf = trees.feature < 0
    return helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["predicted"],
        domain="ai.onnx.ml",
        n_targets=1,
        base_values=[trees.constant],
        nodes_treeids=tree.tolist(),
        nodes_nodeids=own.tolist(),
        nodes_featureids=np.maximum(trees.feature, 0).tolist(),
        nodes_values=trees.threshold.tolist(),
        nodes_modes=[_LEAF if ends else _BRANCH for ends in leaf],
        nodes_truenodeids=np.where(leaf, 0, trees.left - trees.roots[tree]).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, trees.right - trees.roots[tree]).tolist(),
        target_treeids=tree[leaf].tolist(),
        target_nodeids=own[leaf].tolist(),
        target_ids=[0] * int(leaf.sum()),
        target_weights=trees.value[leaf].tolist(),
    )
