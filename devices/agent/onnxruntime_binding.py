"""Inputs and outputs of an ONNX Runtime session, bound once where its provider computes."""

from typing import Any, Dict

from devices.agent import timing

FIRST_TO_ENQUEUE = (1, 14)
"""The first version in which a run need not wait for its provider."""


class Bound:
    """A session whose inputs and outputs lie where it computes, so that a run copies nothing in or out.

    It keeps the values: the runtime's binding does not, and would read and write memory given back.

    Attributes:
        sizes_are_known: whether the graph tells the sizes of its outputs; else a first run told them.
    """

    def __init__(self, onnxruntime: Any, session: Any, memory: str) -> None:
        """Fill the inputs with random numbers, and make room for the outputs.

        Args:
            onnxruntime: the module.
            session: what runs.
            memory: `cpu` or `cuda`.

        Raises:
            ValueError: an input has a dynamic shape or a type that cannot be filled.
        """
        import numpy

        self._onnxruntime, self._numpy = onnxruntime, numpy
        self._session, self._memory = session, memory
        self._binding = session.io_binding()
        rng = numpy.random.default_rng(0)
        self._inputs = {
            value.name: self._copied(_random_input(numpy, rng, value)) for value in session.get_inputs()
        }
        for name, (there, _) in self._inputs.items():
            self._binding.bind_ortvalue_input(name, there)
        self._outputs = self._bind_outputs()
        run, binding = session.run_with_iobinding, self._binding

        def infer() -> None:
            run(binding)

        self._infer = infer

    def run(self) -> None:
        """One inference; it has ended when this returns."""
        self._infer()

    def parts_ns(self) -> Dict[str, int]:
        """One inference with copies from and to pageable memory of the host."""
        found = {"h2d_ns": timing.elapsed_ns(self._fill)}
        if self._can_enqueue():
            options = self._onnxruntime.RunOptions()
            options.add_run_config_entry("disable_synchronize_execution_providers", "1")
            found["enqueue_ns"] = timing.elapsed_ns(
                lambda: self._session.run_with_iobinding(self._binding, options)
            )
            self._binding.synchronize_outputs()
        else:  # it would run to the end, and the time to enqueue be that of all
            self.run()
        found["d2h_ns"] = timing.elapsed_ns(lambda: [place.numpy() for place in self._outputs])
        return found

    def _copied(self, array: Any) -> Any:
        """A value where the provider computes, and the array on the host."""
        return self._onnxruntime.OrtValue.ortvalue_from_numpy(array, self._memory, 0), array

    def _bind_outputs(self) -> Any:
        outputs = self._session.get_outputs()
        self.sizes_are_known = all(_is_static(value) for value in outputs)
        if self.sizes_are_known:
            places = [self._room(value) for value in outputs]
        else:
            for value in outputs:
                self._binding.bind_output(value.name, self._memory)
            self._session.run_with_iobinding(self._binding)  # the run itself tells the sizes
            places = self._binding.get_outputs()
            self._binding.clear_binding_outputs()
        for value, place in zip(outputs, places):
            self._binding.bind_ortvalue_output(value.name, place)
        return places

    def _room(self, value: Any) -> Any:
        """Memory for an output of known type and sizes."""
        kind = self._numpy.dtype(_TYPES[value.type]).type
        if self._memory == "cpu":
            return self._copied(self._numpy.zeros(value.shape, kind))[0]
        make = self._onnxruntime.OrtValue.ortvalue_from_shape_and_type
        return make(value.shape, kind, self._memory, 0)

    def _can_enqueue(self) -> bool:
        version = tuple(int(part) for part in self._onnxruntime.__version__.split(".")[:2])
        return version >= FIRST_TO_ENQUEUE

    def _fill(self) -> None:
        for there, array in self._inputs.values():
            there.update_inplace(array)


def _is_static(value: Any) -> bool:
    """Whether type and sizes of an input or output are known before a run."""
    return value.type in _TYPES and all(isinstance(size, int) and size > 0 for size in value.shape)


_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}


def _random_input(numpy: Any, rng: Any, value: Any) -> Any:
    """Standard normal numbers; whole numbers are 0 or 1, so that they are valid as indexes too."""
    if value.type not in _TYPES:
        raise ValueError("input {!r} has type {}, which cannot be filled".format(value.name, value.type))
    if not _is_static(value):
        raise ValueError("input {!r} has the dynamic shape {}; fix its sizes".format(value.name, value.shape))
    kind = numpy.dtype(_TYPES[value.type])
    if kind.kind == "f":
        return rng.standard_normal(value.shape).astype(kind)
    return rng.integers(0, 2, value.shape).astype(kind)
