"""`hwprofile search`: which kind of search a command asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hwprofile import plugins
from hwprofile.catalog import space_named
from hwprofile.display import notices
from hwprofile.errors import BadInput
from hwprofile.learning.evaluators import told_by
from hwprofile.learning.image_search import ImageSearch
from hwprofile.learning.known_networks import KnownNetworks
from hwprofile.learning.options import learning_of
from hwprofile.learning.pool import Choosing
from hwprofile.learning.search_folder import SearchFolder
from hwprofile.learning.search_result import SearchResult
from hwprofile.learning.supernet_search import SearchReport, TableOptions, search_known, search_ponas
from hwprofile.learning.tabular_search import TabularSearch, chosen_by_table
from ponas_core.evaluation import Ledger, TabularEvaluator

HELD_OUT = 24
FILLING = 96
"""Networks that fill a score table of PONAS, unless told."""
EVALUATIONS = 100
DEFAULT_FOLDER = Path("search")
JOINT = ("ddpnas", "padnas", "proxyless")
"""Methods that, on images, train the weights on while they choose."""


@dataclass(frozen=True)
class SearchCommand:
    """A search as a person types it.

    Attributes:
        method: one of `ponas_core.searches.methods.METHODS`, or of a search that another package brings.
        space_name: of the space.
        data_name: images to learn from; None with an evaluator.
        evaluator: `tabular` or `tabular:FILE.csv:COLUMN`; None with images.
        choosing: what the networks have to hold.
        evaluations: networks that may be evaluated; None for the default.
        held_out: further networks that tell how well a table ranks; None for the default.
        table: how PONAS fills its table; `evaluations`, `held_out` and `seed` are those of the command.
        settings: of the method: names and values.
        out: folder that files are left in; None for the default.
        options: of the training.
    """

    method: str
    space_name: str
    data_name: str | None
    evaluator: str | None
    choosing: Choosing
    evaluations: int | None
    held_out: int | None
    table: TableOptions
    settings: Mapping[str, str]
    out: Path | None
    options: Mapping[str, Any]

    def run(self) -> SearchResult | SearchReport | None:
        """Search.

        Returns:
            What was found; None in a process that only helped to train.

        Raises:
            BadInput: options that do not go together.
            BudgetInfeasible: no network holds the budgets.
            UserError: something named is unusable, or the search cannot go on.
        """
        plugins.need("hwprofile.searches", self.method)
        if self.data_name is not None and self.evaluator is not None:
            raise BadInput("give --data to train, or --evaluator for known accuracies, not both")
        if self.method != "ponas" and self.table.fills_otherwise:
            raise BadInput("--table, --context and --fine-tune-steps belong to ponas")
        if self.evaluator is not None:
            return self._among_known(self.evaluator)
        if self.data_name is not None:
            return self._on_images(self.data_name)
        raise BadInput(
            "give --data: `digits`, or the path of your images (docs/datasets.md); or --evaluator "
            "tabular:FILE.csv:COLUMN, known accuracies of networks"
        )

    def _among_known(self, evaluator: str) -> SearchResult | SearchReport:
        # a table that is read cell by cell, or judged on further networks, takes networks of any cost
        if self.method == "ponas" and (self.table.fills_otherwise or self.held_out is not None):
            return self._whole_table(evaluator)
        return TabularSearch(
            method=self.method,
            space_name=self.space_name,
            evaluator=evaluator,
            choosing=self.choosing,
            evaluations=EVALUATIONS if self.evaluations is None else self.evaluations,
            seed=self.options["seed"],
            settings=self.settings,
            out=self.out,
            quiet=self.options["quiet"],
            fleet=self.options["fleet"],
        ).run()

    def _whole_table(self, name: str) -> SearchReport:
        self._no_settings()
        space = space_named(self.space_name)
        known = KnownNetworks.named(space, name)
        # a budget that nothing holds is refused before anything is written
        pool = self.choosing.pool(space, known.ops)
        folder = SearchFolder(self.out or DEFAULT_FOLDER)
        with told_by(
            TabularEvaluator(known.accuracies),
            self.options["fleet"],
            quiet=self.options["quiet"],
            kept=None,
        ) as evaluator:
            ledger = Ledger(evaluator)
            report = search_known(space, self.space_name, ledger, self._filling(), folder)
        chosen = chosen_by_table(known, pool, self.choosing.budgets, report.table, ledger.history)
        return replace(report, chosen=chosen)

    def _on_images(self, data_name: str) -> SearchResult | SearchReport | None:
        out = self.out or DEFAULT_FOLDER
        self._fleet_can_help()
        if self.method != "ponas":
            return ImageSearch(
                method=self.method,
                space_name=self.space_name,
                data_name=data_name,
                choosing=self.choosing,
                evaluations=self.evaluations,
                held_out=HELD_OUT if self.held_out is None else self.held_out,
                settings=self.settings,
                out=out,
                options=self.options,
            ).run()
        self._no_settings()
        if self.choosing != Choosing():
            raise BadInput(
                "ponas trains a score table for every device and budget: give --budget to "
                "`hwprofile specialize`, and leave --latency away"
            )
        space = space_named(self.space_name)
        learning = learning_of(space, data_name, self.options)
        return search_ponas(space, self.space_name, learning, self._filling(), SearchFolder(out))

    def _fleet_can_help(self) -> None:
        """Raise BadInput where networks cannot be evaluated elsewhere; look for workers before training."""
        if self.options["fleet"] is None:
            return
        if self.method in JOINT:
            raise BadInput(
                f"--fleet: {self.method} trains weights and chooses networks in turns, on this computer; "
                "a fleet evaluates for the other methods, and with --evaluator"
            )
        if self.table.fine_tune_steps:
            raise BadInput(
                "--fleet: with --fine-tune-steps weights change between evaluations; leave one away"
            )
        from hwprofile.fleet.evaluations import look_for_workers

        look_for_workers(self.options["fleet"], notices(quiet=True))

    def _filling(self) -> TableOptions:
        return replace(
            self.table,
            evaluations=FILLING if self.evaluations is None else self.evaluations,
            held_out=HELD_OUT if self.held_out is None else self.held_out,
            seed=self.options["seed"],
        )

    def _no_settings(self) -> None:
        if self.settings:
            raise BadInput("ponas has no --set here: its options are --table, --held-out, --context, ...")
