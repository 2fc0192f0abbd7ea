"""How long a device that went away is waited for, so that a board may start anew in the middle of a bench."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from devices.connection import AgentDied, LinkLost


@dataclass(frozen=True, slots=True)
class Patience:
    """Waits between attempts; those that bring nothing, one after the other, use them up.

    Attributes:
        lost_s: seconds after each loss of the link; two minutes in all.
        died_s: seconds after each death of the agent that no graph is to blame for.
        sleep: waits so many seconds.
    """

    lost_s: Sequence[float] = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 60.0)
    died_s: Sequence[float] = (1.0, 2.0)
    sleep: Callable[[float], None] = time.sleep

    def wait(self, error: AgentDied, fruitless: int, tell: Callable[[str], None]) -> None:
        """Wait before the next attempt, and say so.

        Args:
            error: why one is needed.
            fruitless: errors of its kind before this one since anything was measured.
            tell: is told what is waited for.

        Raises:
            AgentDied: it is given up: the error itself.
        """
        waits = self.lost_s if isinstance(error, LinkLost) else self.died_s
        if fruitless >= len(waits):
            raise error
        tell(f"{error}; the next attempt is in {waits[fruitless]:g} s")
        self.sleep(waits[fruitless])


NO_PATIENCE = Patience((), ())
"""The first failure is the last."""
