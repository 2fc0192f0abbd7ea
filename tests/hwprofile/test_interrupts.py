"""Ctrl-C is neither lost nor fatal, wherever it comes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from devices.links import ssh_masters
from hwprofile.cli import main

START = (
    "import os, signal, time\nfrom hwprofile.cli.interrupts import let_imports_finish\nlet_imports_finish()\n"
)
WAIT = "    time.sleep(10)\n    print('lost')\nexcept KeyboardInterrupt:\n    print('came')\n"
PLACES = {
    "finaliser": "class A:\n    def __del__(self):\n        os.kill(os.getpid(), signal.SIGINT)\n"
    "        time.sleep(0.01)\ntry:\n    a = A()\n    del a\n",
    "import": "import sys\nsys.path.insert(0, '.')\ntry:\n    import slow\n    assert slow.finished\n",
    "anywhere": "try:\n    os.kill(os.getpid(), signal.SIGINT)\n",
}


@pytest.mark.parametrize("place", PLACES)
def test_an_interrupt_comes_through(place: str, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(0.1)\nfinished = True\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", START + PLACES[place] + WAIT],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "came\n", "")


def test_an_interrupted_command_ends_shared_connections(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ssh_masters.end_all()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = Path(ssh_masters.socket_of("a link")).parent
    monkeypatch.setattr("os._exit", sys.exit)
    monkeypatch.setattr("click.Group.main", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(SystemExit, match="130"):
        main([])
    assert not folder.exists()
