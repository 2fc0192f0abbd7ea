"""`hwprofile search METHOD --data`: any search on images, to a supernet, a score table, and a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hwprofile.catalog import space_named
from hwprofile.errors import BadInput
from hwprofile.learning.asking_search import search_asking
from hwprofile.learning.joint_search import Learned, search_ddpnas, search_padnas, search_proxyless
from hwprofile.learning.options import learning_of
from hwprofile.learning.pool import Choosing, Pool
from hwprofile.learning.search_folder import SearchFolder
from hwprofile.learning.search_result import SearchResult
from ponas_core.proxyless import ProxylessSettings
from ponas_core.searches.ddpnas import Ddpnas
from ponas_core.searches.methods import METHODS
from ponas_core.searches.padnas import PadNas
from ponas_core.searches.settings import SettingError, settings_of, with_settings
from ponas_core.verification import binomial_sd

CHOOSING_PATHS = ("ddpnas", "padnas", "proxyless")
"""Searches that train and choose in turns."""
EVALUATIONS = 96
USUAL_ACCURACY = 90.0
"""Per cent; what the noise of an evaluation is taken from, where a search asks for it."""


@dataclass(frozen=True)
class ImageSearch:
    """A search on images.

    Attributes:
        method: one of `METHODS`, but `ponas`.
        space_name: as typed.
        data_name: the images.
        choosing: what the networks have to hold.
        evaluations: networks that may be evaluated; None for the default.
        held_out: further networks that tell how well the table ranks, where a trained supernet is asked.
        settings: of the method, as typed: names and values.
        out: folder that everything is left in.
        options: of the training, as the command names them.
    """

    method: str
    space_name: str
    data_name: str
    choosing: Choosing
    evaluations: int | None
    held_out: int
    settings: Mapping[str, str]
    out: Path
    options: Mapping[str, Any]

    def run(self) -> SearchResult | None:
        """Search; interrupted, the same search goes on and ends with the same files.

        Returns:
            What was found; None in a process that only helped to train.

        Raises:
            BadInput: settings or budgets that cannot be.
            BudgetInfeasible: no network holds the budgets.
            UserError: something named is unusable, or the search cannot go on.
        """
        search = self._search()
        space = space_named(self.space_name)
        pool = self.choosing.pool(space)
        learning = learning_of(space, self.data_name, self.options)
        if getattr(search, "noise", None) == 0 and "noise" not in self.settings:
            search = replace(search, noise=binomial_sd(USUAL_ACCURACY, len(learning.data.validation)))
        folder, seed = SearchFolder(self.out), int(self.options["seed"])
        evaluations = self.evaluations or EVALUATIONS
        learned: Learned | None
        if isinstance(search, ProxylessSettings):
            learned = search_proxyless(pool.candidates, search, learning, folder)
        elif isinstance(search, Ddpnas):
            learned = search_ddpnas(pool.candidates, search, learning, folder, seed=seed)
        elif isinstance(search, PadNas):
            learned = search_padnas(
                pool.candidates, search, learning, folder, evaluations=evaluations, seed=seed
            )
        else:
            learned = search_asking(
                pool.candidates, search, learning, folder,
                evaluations=evaluations, held_out=self.held_out, seed=seed,
            )  # fmt: skip
        return None if learned is None else self._left(search, pool, folder, learned)

    def _search(self) -> Any:
        if self.options["paths_per_part"] and self.method in CHOOSING_PATHS:
            raise BadInput(f"{self.method} chooses the path of each step itself: leave --paths-per-part away")
        method = ProxylessSettings if self.method == "proxyless" else METHODS[self.method]
        if self.method in ("proxyless", "ddpnas") and self.evaluations is not None:
            raise BadInput(
                f"{self.method} has no --evaluations with --data: it learns as it chooses; give --epochs"
            )
        if self.method == "proxyless" and "target" in self.settings:
            raise BadInput("--set target: give the target as --budget, in its unit")
        try:
            return with_settings(self.method, method, self.settings)
        except SettingError as error:
            raise BadInput(f"--set: {error}") from error

    def _left(self, search: Any, pool: Pool, folder: SearchFolder, learned: Learned) -> SearchResult:
        """Write the table and the result, and give the result."""
        about = learned.weights.about
        told = {
            "search": self.method,
            "seed": int(self.options["seed"]),
            "settings": settings_of(search),
            "data": about["data"],
            "recipe": about["recipe"],
            "weights": learned.weights.digest,
        }
        folder.save(replace(learned.table, provenance={**learned.table.provenance, **told}))
        result = SearchResult(
            method=self.method,
            settings=settings_of(search),
            seed=int(self.options["seed"]),
            space=pool.candidates.space,
            pool=pool,
            budgets=self.choosing.budgets,
            ops=learned.ops,
            score=learned.score,
            history=tuple((network.ops, accuracy) for network, accuracy in learned.history),
            scores=folder.scores,
            weights=folder.supernet,
            told={**learned.told, "data": self.data_name},
            notes=learned.notes,
            following=f"hwprofile specialize --space {self.space_name} --search {folder.path} "
            f"--data {self.data_name} {self._budgets()}",
        )
        result.save(folder.result)
        return result

    def _budgets(self) -> str:
        """The budgets as options of another command."""
        return " ".join(f"--budget {budget.text}" for budget in self.choosing.budgets) or "--budget 60%"
