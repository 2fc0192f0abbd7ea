"""LiteRT (TensorFlow Lite) on the target: loads a .tflite file and makes it a callable to time."""

from typing import Any, Dict

from devices.agent.loaded import Loaded

NAME = "litert"

RESOLVERS = {"XNNPACK": "AUTO", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES"}
"""Providers, and what the interpreter calls them; by default it hands to XNNPACK whatever that can take."""


def version() -> str:
    """The version of the installed runtime, without importing it."""
    from importlib.metadata import PackageNotFoundError, version

    for package in ("ai-edge-litert", "tflite-runtime"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    raise ModuleNotFoundError("ai-edge-litert is not installed; run: pip install ai-edge-litert")


def load(model: bytes, settings: Dict[str, Any]) -> Loaded:
    """Open an interpreter with random inputs set once.

    Args:
        model: a .tflite file.
        settings: `threads`, `provider`.

    Raises:
        ValueError: the provider is unknown, or the runtime refuses the file.
    """
    if settings["provider"] not in RESOLVERS:
        raise ValueError(
            "provider {} is unknown to LiteRT; known: {}".format(settings["provider"], ", ".join(RESOLVERS))
        )
    import numpy

    module = _module()
    interpreter = module.Interpreter(
        model_content=model,
        num_threads=settings["threads"],
        experimental_op_resolver_type=getattr(module.OpResolverType, RESOLVERS[settings["provider"]]),
    )
    interpreter.allocate_tensors()
    rng = numpy.random.default_rng(0)
    for value in interpreter.get_input_details():
        interpreter.set_tensor(value["index"], _random_input(numpy, rng, value))
    run = interpreter.invoke

    def infer() -> None:
        run()

    return Loaded(infer)


def _module() -> Any:
    """The interpreter of either package; the older one is what boards with an old Python have."""
    try:
        from ai_edge_litert import interpreter
    except ModuleNotFoundError as error:
        if error.name != "ai_edge_litert":
            raise
        from tflite_runtime import interpreter
    return interpreter


def _random_input(numpy: Any, rng: Any, value: Any) -> Any:
    """Standard normal numbers; whole numbers are 0 or 1, so that they are valid as indexes too."""
    kind = numpy.dtype(value["dtype"])
    if kind.kind == "f":
        return rng.standard_normal(value["shape"]).astype(kind)
    if kind.kind in "iub":
        return rng.integers(0, 2, value["shape"]).astype(kind)
    raise ValueError("input {!r} has type {}, which cannot be filled".format(value["name"], kind))
