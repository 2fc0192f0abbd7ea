"""The same MobileNetV2 in every runtime on this computer, beside each runtime's own tool.

    python benchmarks/runtimes.py

Prints a table: what `hwprofile bench --onnx` finds (the agent, five processes and more), and what the
runtime's own tool says of the same artefact: `torch.utils.benchmark` for PyTorch and `litert-benchmark` for
LiteRT. ONNX Runtime's wheel brings `onnxruntime_test`, which neither warms up nor takes a number of threads;
so its session is called in a loop with `timeit`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devices.catalog import settings_for
from devices.runtimes.catalog import RUNTIMES
from devices.schedule import Goal
from hwprofile.display import table
from hwprofile.session import Session, session_device
from ponas_core.onnx_graph import network_model
from ponas_core.space_file import load_space

MOBILENET_V2 = Path(__file__).parent / "mobilenet_v2.toml"
ROWS = [
    ("onnxruntime", "CPUExecutionProvider", "fp32"),
    ("onnxruntime", "CPUExecutionProvider", "int8"),
    ("litert", "XNNPACK", "fp32"),
    ("litert", "XNNPACK", "int8"),
    ("litert", "builtin", "fp32"),
    ("pytorch", "eager", "fp32"),
    ("pytorch", "channels_last", "fp32"),
    ("pytorch", "compile", "fp32"),
    ("pytorch", "compile+channels_last", "fp32"),
]
REPEATS = 5
"""Fresh processes of a runtime's own tool, as many as of ours; the median over them is compared."""


@dataclass(frozen=True)
class Row:
    """One runtime: ours and its own tool, milliseconds."""

    runtime: str
    provider: str
    precision: str
    ours_ms: float
    half_width: float
    status: str
    own_ms: float | None
    tool: str


def mobilenet_v2() -> bytes:
    """MobileNetV2 1.0 at 224×224 with random weights."""
    space = load_space(MOBILENET_V2)
    data: bytes = network_model(space.architecture([0] * len(space.layers))).SerializeToString()
    return data


ORT_TOOL = """
import sys, timeit, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
value = session.get_inputs()[0]
feeds = {value.name: numpy.random.default_rng(0).standard_normal(value.shape, numpy.float32)}
run = lambda: session.run(None, feeds)
timeit.timeit(run, number=20)
print(1e3 * sorted(timeit.repeat(run, number=1, repeat=100))[50])
"""
TORCH_TOOL = """
import sys, torch
from torch.utils import benchmark
from devices.agent import pytorch_runtime
torch.set_num_threads(1)
inputs, run = pytorch_runtime.build(open(sys.argv[1], "rb").read(), sys.argv[2])
timer = benchmark.Timer("run(*inputs)", globals={"run": run, "inputs": inputs}, num_threads=1)
with torch.inference_mode():
    timer.timeit(10)
    print(1e3 * timer.blocked_autorange(min_run_time=1.0).median)
"""


def own_tool_ms(runtime: str, provider: str, artefact: Path) -> tuple[float | None, str]:
    """What a runtime's own tool says of an artefact, bound to the processor that we measure on."""
    if runtime == "litert":
        program = shutil.which("litert-benchmark", path=str(Path(sys.executable).parent))
        if program is None or provider != "XNNPACK":
            return None, "none for this"
        command = [program, f"--model={artefact}", "--num_threads=1", "--num_runs=100", "--warmup_runs=20"]
        return _median_of(
            [*command, "--result_json=/dev/stdout"], r'"median_ms": ([0-9.]+)'
        ), "litert-benchmark"
    code = ORT_TOOL if runtime == "onnxruntime" else TORCH_TOOL
    command = [sys.executable, "-c", code, str(artefact), provider]
    return _median_of(
        command, r"([0-9.]+)\s*$"
    ), "timeit" if runtime == "onnxruntime" else "torch.utils.benchmark"


def _median_of(command: list[str], pattern: str) -> float:
    times = []
    allowed = sorted(os.sched_getaffinity(0))
    for _ in range(REPEATS):
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            preexec_fn=lambda: os.sched_setaffinity(0, allowed[-1:]),
        )
        found = re.search(pattern, done.stdout + done.stderr)
        if found is None:
            raise ValueError(f"no figure in what {command[0]} says: {done.stdout[-300:]}")
        times.append(float(found[1]))
    return float(np.median(times))


def measured(model: Path, runtime: str, provider: str, precision: str, folder: Path) -> Row:
    """One row of the table."""
    device = session_device("cpu", runtime=runtime, provider=provider, precision=precision)
    session = Session(device, Goal(), quiet=True)
    out = folder / f"{runtime}-{provider}-{precision}.profile.jsonl"
    profile = session.bench("", [model], out=out).profile
    verdict = profile.verdict(model.name)
    assert verdict.summary is not None, profile.errors
    settings = settings_for(runtime, provider, precision)
    artefact = folder / f"{runtime}-{precision}"
    artefact.write_bytes(RUNTIMES[runtime].prepare(model.read_bytes(), settings.precision, {}))
    own_ms, tool = own_tool_ms(runtime, provider, artefact)
    summary = verdict.summary
    return Row(
        runtime, provider, precision, summary.median_ms, summary.half_width, verdict.status, own_ms, tool
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "mobilenet_v2.onnx"
        model.write_bytes(mobilenet_v2())
        rows = [measured(model, *row, folder) for row in ROWS]
    if arguments.json:
        print(json.dumps([vars(row) for row in rows], indent=1))
        return
    header = [
        "runtime",
        "provider",
        "dtype",
        "hwprofile",
        "±95 %",
        "status",
        "its own tool",
        "ours / its own",
        "tool",
    ]
    cells = [
        [
            row.runtime,
            row.provider,
            row.precision,
            f"{row.ours_ms:.2f} ms",
            f"{row.half_width:.1%}",
            row.status,
            "–" if row.own_ms is None else f"{row.own_ms:.2f} ms",
            "–" if row.own_ms is None else f"{row.ours_ms / row.own_ms:.3f}",
            row.tool,
        ]
        for row in rows
    ]
    print(table(header, cells, left=3))


if __name__ == "__main__":
    main()
