"""What ONNX Runtime's own profiler tells of a session: times of its nodes, and which provider ran them."""

import contextlib
import json
import os
from collections import Counter
from typing import Any, Dict, Iterator, List

from devices.agent import scratch
from devices.agent.onnxruntime_providers import CPU, Provider

_NODE_SUFFIX = "_kernel_time"


@contextlib.contextmanager
def folder() -> Iterator[str]:
    """Where the runtime's profile goes, for as long as it is needed."""
    with scratch.folder() as folder:
        yield os.path.join(folder, "profile")


def events(session: Any) -> List[Dict[str, Any]]:
    """The profile of a session up to here, which ends it."""
    with open(session.end_profiling(), encoding="utf-8") as file:
        return list(json.load(file))


def placed(found: List[Dict[str, Any]], provider: Provider) -> Dict[str, int]:
    """How many nodes ran on each provider.

    Older versions of the runtime know no option against the CPU provider as a stopgap: this finds it too.

    Raises:
        ValueError: some ran on the CPU provider, and that was not allowed.
    """
    counts = Counter()  # type: Counter[str]
    for event in found:
        if event.get("cat") == "Node" and event["name"].endswith(_NODE_SUFFIX):
            counts[str(event.get("args", {}).get("provider"))] += 1
    if counts[CPU] and not provider.may_use_cpu:
        raise ValueError(cannot_take(provider))
    return dict(counts)


def cannot_take(provider: Provider) -> str:
    """The words of the error where a provider leaves nodes to the CPU provider, and was not allowed to."""
    return (
        "{0} cannot take the whole graph; --provider {1}+cpu lets the CPU provider run the rest, "
        "and is a provider of its own in profiles".format(
            provider.name, provider.name + ("+graph" if provider.captures_graph else "")
        )
    )


def by_run(found: List[Dict[str, Any]], skipped: int) -> Dict[str, Any]:
    """The events of a profile, sorted into runs."""
    runs = []  # type: List[List[Dict[str, Any]]]
    whole = []  # type: List[int]
    current = []  # type: List[Dict[str, Any]]
    for event in found:
        if event.get("cat") == "Node" and event["name"].endswith(_NODE_SUFFIX):
            current.append(event)
        elif event.get("cat") == "Session" and event["name"] == "model_run":
            runs.append(current)
            whole.append(event["dur"])
            current = []
    names = [event["name"][: -len(_NODE_SUFFIX)] for event in runs[-1]]
    if any([event["name"][: -len(_NODE_SUFFIX)] for event in run] != names for run in runs):
        raise ValueError("the runtime's profile does not tell the same nodes in every run")
    us = [[event["dur"] for event in run] for run in runs[skipped:]]
    return {"nodes": names, "us": us, "run_us": whole[skipped:]}
