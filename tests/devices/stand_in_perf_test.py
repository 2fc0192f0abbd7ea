"""A stand-in for `onnxruntime_perf_test`: runs a graph with the Python package, writes the same results file.

Run as a program. It knows the options that are used, in the spelling of the tool, and ends as the tool does:
status 255 for what goes wrong, exceptions on stderr, the rest on stdout.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

VALUED = {"-e", "-m", "-r", "-x", "-o", "-S"}


def main(arguments: list[str]) -> int:
    """Parse, run, write."""
    options: dict[str, str] = {}
    names: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in VALUED:
            options[word] = next(words)
        elif word == "-I":
            options[word] = ""
        elif word.startswith("-"):
            sys.stderr.write(f"ERROR: Unknown command line flag '{word.lstrip('-')}'\n")
            return 1
        else:
            names.append(word)
    if options.get("-m") != "times" or "-I" not in options or len(names) != 2:
        sys.stderr.write("See 'onnxruntime_perf_test --help'.")
        return 255
    if options["-e"] != "cpu":
        sys.stderr.write(f"{options['-e'].capitalize()} is not supported in this build\n\n")
        return 255
    return run(names[0], names[1], int(options["-r"]), int(options["-x"]))


def run(model: str, results: str, runs: int, threads: int) -> int:
    """Run the model and append to the results."""
    import numpy
    import onnxruntime

    data = Path(model).read_bytes()
    if b"crash" in data[:400]:
        os.kill(os.getpid(), 11)
    if b"endless" in data[:400]:
        time.sleep(3600)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(data, settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        sys.stderr.write(f"{error}\n")
        return 255
    sys.stdout.write(f"Setting intra_op_num_threads to {threads}\n")
    inputs = {value.name: numpy.ones(value.shape, "float32") for value in session.get_inputs()}
    session.run(None, inputs)  # the tool's warm-up
    seconds = []
    for _ in range(runs):
        start = time.perf_counter_ns()
        session.run(None, inputs)
        seconds.append((time.perf_counter_ns() - start) / 1e9)
    folder = Path(model).parent.name
    with open(results, "a", encoding="utf-8") as file:
        for number, second in enumerate(seconds):
            file.write(f"{folder},{second:g},12345678,49,{number}\n")  # six digits, as a C++ stream writes
    sys.stdout.write(f"Session creation time cost: 0.01 s\nTotal inference requests: {runs}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
