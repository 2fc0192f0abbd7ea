"""A real `dask scheduler` and real `dask worker`s on this computer, which tests start, stop, kill and end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from distributed import Client

LOOPBACK = "127.0.0.1"
START_S = 30.0
"""How long everything has to start, on a machine with other work."""


class DaskCluster:
    """A scheduler, and workers by name, as processes of their own; all are ended with the `with`.

    `add_worker` does not wait, so that many start at the same time; `ready` does. Should the tests be killed,
    the scheduler ends itself when nothing was asked of it for ten minutes, and the workers with it.

    Args:
        folder: logs (`NAME.log`) and working files.
        host: address that the scheduler listens at.
        env: variables of the environment of all, beside those of this process.
        prefix: of the scheduler's command, such as `("ip", "netns", "exec", "fleet")`.
        protocol: `tcp`, or `tls` with certificates in `env`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        host: str = LOOPBACK,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        protocol: str = "tcp",
    ) -> None:
        self.folder, self.host, self.protocol = folder, host, protocol
        self._env, self._prefix = dict(env or {}), prefix
        self._port = free_port(host if host == LOOPBACK else "")
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._start_scheduler()

    @property
    def address(self) -> str:
        """What `--fleet` takes."""
        return f"{self.protocol}://{self.host}:{self._port}"

    def add_worker(
        self,
        name: str,
        resources: Mapping[str, float] | None = None,
        *,
        nthreads: int = 1,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        options: Sequence[str] = ("--no-nanny",),
    ) -> None:
        """Start a worker; it takes about two seconds to be there (`ready`).

        Args:
            name: its name; one that was killed may be given again.
            resources: what it offers.
            nthreads: tasks that it runs at once.
            env: variables of its environment.
            prefix: of its command, such as `("taskset", "-c", "0")`.
            options: further ones of `dask worker`; without `--no-nanny` a nanny starts it anew when it dies.
        """
        command = ["worker", self.address, "--no-dashboard", "--name", name, "--nthreads", str(nthreads)]
        command += ["--local-directory", str(self.folder), "--memory-limit", "0", "--death-timeout", "60"]
        if self.host == LOOPBACK:
            command += ["--host", LOOPBACK]
        if resources:
            offered = " ".join(f"{resource}={amount:g}" for resource, amount in resources.items())
            command += ["--resources", offered]
        self._start(name, [*command, *options], env or {}, prefix)

    def ready(self, timeout_s: float = START_S) -> None:
        """Wait until the scheduler knows every worker that runs; AssertionError with its log where not."""
        until = time.monotonic() + timeout_s
        self._wait_for_scheduler(until)
        wanted = {name for name in self._running if name != "scheduler"}
        with self.client() as client:
            while missing := wanted - set(self.workers(client)):
                for name in missing:
                    assert self.is_running(name), f"{name} ended: {self.log(name)}"
                assert time.monotonic() < until, f"{missing} did not start: {self.log(missing.pop())}"
                time.sleep(0.05)

    def client(self) -> Client:
        """A connection of its own; close it, or use it in a `with`."""
        return Client(self.address, set_as_default=False, timeout=START_S)

    def workers(self, client: Client) -> dict[str, dict[str, Any]]:
        """What the scheduler knows of its workers, by name; a nanny's worker has the name that was given."""
        known = client.scheduler_info(n_workers=-1)["workers"]
        return {str(worker["name"]): {**worker, "address": address} for address, worker in known.items()}

    def is_running(self, name: str) -> bool:
        """Whether the process that was started under this name lives; also `scheduler`."""
        return name in self._running and self._running[name].poll() is None

    def log(self, name: str) -> str:
        """What a worker, or the `scheduler`, has said so far."""
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")

    def pid(self, name: str) -> int:
        """Number of the process that was started under this name: the nanny's, where there is one."""
        return self._running[name].pid

    def kill(self, name: str) -> None:
        """End a worker (its nanny too), or the `scheduler`, without a word, and wait for its end."""
        process = self._running.pop(name)
        _signal(process, signal.SIGKILL)
        process.wait()

    def stop(self, name: str) -> None:
        """Let a worker, or the `scheduler`, hang."""
        _signal(self._running[name], signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let what hangs go on."""
        _signal(self._running[name], signal.SIGCONT)

    def restart_scheduler(self) -> None:
        """Kill the scheduler and start another one at the same address; workers of the first end themselves.

        Workers are not started anew: a `dask worker` does not come back to another scheduler.
        """
        self.kill("scheduler")
        self._start_scheduler()

    def close(self) -> None:
        """End everything, whatever state it is in."""
        for process in self._running.values():
            _signal(process, signal.SIGKILL)
        for process in self._running.values():
            process.wait()
        self._running.clear()

    def __enter__(self) -> DaskCluster:
        """The cluster; the scheduler may still be starting."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything."""
        self.close()

    def _start_scheduler(self) -> None:
        command = ["scheduler", "--host", f"{self.protocol}://{self.host}", "--port", str(self._port)]
        self._start("scheduler", [*command, "--no-dashboard", "--idle-timeout", "10m"], {}, self._prefix)

    def _start(
        self, name: str, arguments: Sequence[str], env: Mapping[str, str], prefix: Sequence[str]
    ) -> None:
        assert name not in self._running, f"{name} runs already"
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [*prefix, sys.executable, "-m", "dask", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._env, **env},
                start_new_session=True,  # a group of its own, which is ended as a whole
            )

    def _wait_for_scheduler(self, until: float) -> None:
        while True:
            assert self.is_running("scheduler"), self.log("scheduler")
            with suppress(OSError):
                socket.create_connection((self.host, self._port), 1.0).close()
                return
            assert time.monotonic() < until, f"no scheduler: {self.log('scheduler')}"
            time.sleep(0.02)


def free_port(host: str = LOOPBACK) -> int:
    """A port that nobody listens at now."""
    with socket.socket() as listening:
        listening.bind((host, 0))
        return int(listening.getsockname()[1])


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Tell a process and everything that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
