"""A real Dask scheduler and boards that only sleep: what tasks, boards and payloads cost.

The scheduler has a process of its own; so has the client; boards share a few, as many `Worker` objects
without nannies. All of them share this machine's processors, so only processor time is told of the scheduler
and the client, and no rate that a scheduler with a machine of its own would reach.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from tempfile import TemporaryDirectory

import distributed

from benchmarks.fleet_at_scale.fresh import (
    PAGE_BYTES,
    ROOT,
    TICK_S,
    Watch,
    costs_of,
    processor_s,
    resident_bytes,
)
from benchmarks.fleet_at_scale.made_up import PaperDevice
from benchmarks.fleet_at_scale.slopes import Series
from hwprofile.fleet.board import Wanted

HERE = "benchmarks.fleet_at_scale.boards"
RESOURCE = "hwprofile-paper"
BOARDS_A_PROCESS = 50
ANSWER_BYTES = 100_000
"""JSON text of a round's raw samples and conditions."""
START_S, END_S = 120.0, 20.0
COSTS = {
    "idle_s": ("scheduler, a second without tasks", "s"),
    "known_bytes": ("scheduler, all boards known", "bytes"),
    "scheduler_s": ("scheduler, a task", "s"),
    "scheduler_bytes": ("scheduler, a waiting task", "bytes"),
    "boards_bytes": ("boards, a waiting task", "bytes"),
    "client_s": ("client, a task", "s"),
    "submit_s": ("client, to submit a task (wall clock)", "s"),
}
"""What a campaign costs, in words, with the unit."""
OF_BOARDS = ("idle_s", "known_bytes")
"""Those that have to do with boards alone."""


def paper_round(graphs: bytes, seconds: float) -> str:
    """What a board does with a round: takes its time, and answers with text."""
    time.sleep(seconds)
    return "9" * ANSWER_BYTES


# --- processes


def serve(role: str, address: str, count: int) -> None:
    """Be the scheduler, or so many boards made of paper, until the parent closes the input."""
    setattr(Wanted, "device", lambda wanted: PaperDevice())  # noqa: B010  # mypy: a method is not assigned to
    with TemporaryDirectory() as folder:
        asyncio.run(_serve(role, address, count, folder))


async def _serve(role: str, address: str, count: int, folder: str) -> None:
    servers: list[distributed.Scheduler | distributed.Worker] = []
    if role == "scheduler":
        servers.append(distributed.Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0"))
    for _ in range(0 if role == "scheduler" else count):
        servers.append(
            distributed.Worker(
                address,
                nthreads=1,
                resources={RESOURCE: 1},
                dashboard=False,
                local_directory=folder,
                memory_limit=0,
            )
        )
    await asyncio.gather(*(server.start() for server in servers))
    print(json.dumps(servers[0].address), flush=True)
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(
        target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(closed.set)), daemon=True
    ).start()
    await closed.wait()
    os._exit(0)  # hundreds of goodbyes would take longer than the measurement


@contextmanager
def process(role: str, address: str = "", count: int = 0) -> Iterator[tuple[int, str]]:
    """A process of these, with its id and the address that it tells."""
    command = [sys.executable, "-m", HERE, role, address, str(count)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error"}
    running = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert running.stdin is not None
    assert running.stdout is not None
    try:
        yield running.pid, json.loads(running.stdout.readline())
    finally:
        with suppress(OSError):
            running.stdin.close()
        running.wait(END_S)
        running.stdout.close()


def board_processes(stack: ExitStack, address: str, boards: int) -> list[int]:
    """So many boards for a scheduler; gives the ids of their processes."""
    shares = [min(BOARDS_A_PROCESS, boards - first) for first in range(0, boards, BOARDS_A_PROCESS)]
    return [stack.enter_context(process("boards", address, share))[0] for share in shares]


# --- one campaign


def campaign(
    watch: Watch, boards: int, tasks: int, payload_bytes: int, seconds: float, idle_s: float = 0.1
) -> None:
    """Submit so many rounds to so many boards, all at once, and take in all answers.

    Costs of the scheduler: `idle_s` of processor in a second without tasks, `known_bytes` that all boards
    took, `scheduler_s` of processor a task, `scheduler_bytes` a task: the most beyond what it had before.
    Of the boards together `boards_bytes` likewise. Of the client `client_s` of processor a task, and
    `submit_s` a task of a clock on the wall.

    Args:
        watch: takes the costs.
        boards: how many.
        tasks: rounds of all together.
        payload_bytes: graphs of a round.
        seconds: that a round lasts.
        idle_s: for how long the scheduler is watched without tasks.
    """
    warnings.filterwarnings("ignore", "Sending large graph", UserWarning)  # that is what is measured
    with ExitStack() as stack:
        scheduler, address = stack.enter_context(process("scheduler"))
        alone = resident_bytes(scheduler)
        hosts = board_processes(stack, address, boards)
        client = stack.enter_context(distributed.Client(address, set_as_default=False))
        client.wait_for_workers(boards, timeout=START_S)
        time.sleep(1.0)  # what comes with new boards is over
        idle, started = processor_s(scheduler), time.monotonic()
        time.sleep(idle_s)
        watch.costs["idle_s"] = max(processor_s(scheduler) - idle, TICK_S) / (time.monotonic() - started)
        watch.costs["known_bytes"] = float(max(resident_bytes(scheduler) - alone, PAGE_BYTES))
        _run(watch, client, scheduler, hosts, [os.urandom(payload_bytes) for _ in range(tasks)], seconds)


def _run(
    watch: Watch,
    client: distributed.Client,
    scheduler: int,
    hosts: Sequence[int],
    payloads: Sequence[bytes],
    seconds: float,
) -> None:
    tasks = len(payloads)
    before_s, mine_s = processor_s(scheduler), time.process_time()
    before, on_boards = resident_bytes(scheduler), sum(map(resident_bytes, hosts))
    most, most_on_boards = before, on_boards
    started = time.monotonic()
    futures = [
        client.submit(paper_round, payload, seconds, pure=False, resources={RESOURCE: 1}, retries=1)
        for payload in payloads
    ]
    watch.costs["submit_s"] = (time.monotonic() - started) / tasks
    answers = 0
    looked = 0.0
    for future in distributed.as_completed(futures, loop=client.loop):
        answers += len(future.result())
        future.release()
        if time.monotonic() - looked > 0.1:
            looked = time.monotonic()
            most = max(most, resident_bytes(scheduler, "VmHWM"))
            most_on_boards = max(most_on_boards, sum(map(resident_bytes, hosts)))
    if answers != tasks * ANSWER_BYTES:
        raise AssertionError("every round answers")
    most = max(most, resident_bytes(scheduler, "VmHWM"))
    watch.costs["scheduler_s"] = max(processor_s(scheduler) - before_s, TICK_S) / tasks
    watch.costs["client_s"] = (time.process_time() - mine_s) / tasks
    watch.costs["scheduler_bytes"] = max(most - before, PAGE_BYTES) / tasks
    watch.costs["boards_bytes"] = max(most_on_boards - on_boards, PAGE_BYTES) / tasks


def series(
    boards: Sequence[int], queued: Sequence[int], payloads: Sequence[int], tasks: int, lasting_s: float
) -> Iterator[Series]:
    """Costs against boards, against tasks that wait for the fewest of them, and against bytes a task.

    Args:
        boards: how many.
        queued: how many tasks, of a round's usual answer in bytes.
        payloads: how many bytes a task; of a tenth of the tasks.
        tasks: how many tasks against boards.
        lasting_s: about how long a campaign lasts; a board's round as long as makes it so.
    """
    few = {"boards": min(boards), "payload_bytes": ANSWER_BYTES, "tasks": tasks}
    grown: dict[str, list[dict[str, float]]] = {
        "boards": [{**few, "boards": count, "idle_s": lasting_s} for count in boards],
        "tasks that wait": [{**few, "tasks": count} for count in queued],
        "bytes a task": [{**few, "tasks": tasks // 10, "payload_bytes": count} for count in payloads],
    }
    sizes = {"boards": boards, "tasks that wait": queued, "bytes a task": payloads}
    for against, campaigns in grown.items():
        found = [
            costs_of(f"{HERE}:campaign", 1, **one, seconds=lasting_s * one["boards"] / one["tasks"])
            for one in campaigns
        ]
        for cost, (what, unit) in COSTS.items():
            if against == "boards" or cost not in OF_BOARDS:
                costs = tuple(one[cost] for one in found)
                yield Series(what, unit, against, tuple(map(float, sizes[against])), costs)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
