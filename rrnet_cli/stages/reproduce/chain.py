"""The stages of a case, one after the other, each found in the store or made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from rrnet_cli.evaluation.peers.base import Task
from rrnet_cli.progress import Reporter, SilentReporter
from rrnet_cli.settings import EvalSettings
from rrnet_cli.stages.build_graph import build_graph
from rrnet_cli.stages.evaluate import evaluate
from rrnet_cli.stages.extract import extract
from rrnet_cli.stages.reproduce.cases import Case, Options, Preset
from rrnet_cli.stages.train import train
from rrnet_cli.store.artifact import Artifact, Key
from rrnet_cli.store.store import Outcome, Store

FAST_PEERS: dict[Task, tuple[str, ...]] = {
    "rating": ("bias", "svd"),
    "classification": ("temperature", "knn"),
}
"""Peers under the fast budget: the way is the same for all of them."""


class NotMadeError(Exception):
    """Under a dry run: the store does not have it yet."""


class PlanningStore(Store):
    """A store that finds and never makes."""

    def materialise(
        self, key: Key, build: Callable[[Any], None], *, force: bool = False
    ) -> Outcome:
        """Return what is there.

        Raises:
            NotMadeError: It is not.
        """
        found = self.find(key)
        if found is None:
            raise NotMadeError(str(key.ref))
        return Outcome(found, cached=True)


@dataclass(frozen=True)
class Step:
    """One stage of a chain, as a dry run lists it."""

    stage: str
    name: str
    cached: bool


@dataclass
class Chain:
    """Makes what cases need, each artifact once, and keeps count of it.

    Attributes:
        store: Where artifacts are; a `PlanningStore` for a dry run.
        options: What was asked for.
        reporter: Progress and notes.
        steps: What was found, made or (dry run) is still to be made, in order.
        notes: What was left out, and why.
    """

    store: Store
    options: Options
    reporter: Reporter
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _made: dict[tuple[str, str], Artifact | None] = field(default_factory=dict)

    def features(self, case: Case, run: int) -> Artifact | None:
        """The features of one fold or seed; None in a dry run that lacks them."""
        if case.features_of is not None:
            return self.features(case.features_of, run)
        name = case.run_name(run, self.options)
        network = None if case.weights_of is None else self.features(case.weights_of, run)

        def make() -> Outcome:
            return extract(
                case.extract(run, self.options),
                store=self.store,
                data=self.options.data / case.folder,
                name=name,
                recipe=case.recipe,
                reporter=self._reporter,
                weights=None if network is None else _ref(network),
            )

        return self._step("extract", name, [network] if case.weights_of else [], make)

    def graph(
        self, case: Case, run: int, preset: Preset, suffix: str = "", **changes: object
    ) -> Artifact | None:
        """The graph that a preset is trained on; `suffix` names the `changes` of a sweep."""
        features = self.features(case, run)
        near = None if case.neighbours is None else self.features(case.neighbours, run)
        name = case.graph_name(run, preset, self.options) + suffix
        settings = case.graph(preset, self.options, **changes)
        return self._step(
            "build-graph",
            name,
            [features, near] if case.neighbours else [features],
            lambda: build_graph(
                settings,
                store=self.store,
                features=_ref(features),
                neighbours=None if near is None else _ref(near),
                name=name,
                reporter=self._reporter,
            ),
        )

    def model(
        self, graph: Artifact | None, case: Case, run: int, preset: Preset, suffix: str = "",
        **changes: object,
    ) -> Artifact | None:  # fmt: skip
        """RR-Net on a graph; `suffix` names what a sweep changed in graph or training."""
        settings = case.train(preset, run, self.options, **changes)
        name = f"{case.run_name(run, self.options)}{suffix}-{settings.label}"
        return self._step(
            "train",
            name,
            [graph],
            lambda: train(
                settings, store=self.store, graph=_ref(graph), name=name, reporter=self._reporter
            ),
        )

    def peers(self, case: Case, run: int, task: Task) -> dict[str, Artifact | None]:
        """Every peer of the task on the graph of `plus`, tuned on select.

        One whose library is not installed is left out, with a note.
        """
        # the modules of peers import torch and DGL
        from rrnet_cli.evaluation.peers.registry import peers as registered
        from rrnet_cli.stages.peers import run_peers

        graph = self.graph(case, run, "plus")
        name = case.graph_name(run, "plus", self.options)
        models: dict[str, Artifact | None] = {}
        several_views = case.extract(run, self.options).baseline.views > 1
        for peer in registered(task, FAST_PEERS[task] if self.options.fast else ()):
            if peer.several_views and not several_views:
                continue
            if peer.library and find_spec(peer.library) is None:
                self._note(f"left out, {peer.library} is not installed: {peer.name}")
                continue

            def make(peer: str = peer.name) -> Outcome:
                (outcome,) = run_peers(
                    store=self.store,
                    graph=_ref(graph),
                    only=[peer],
                    seed=0,
                    reporter=self._reporter,
                )
                return outcome

            models[peer.name] = self._step("peers", f"{name}-{peer.name}", [graph], make)
        return models

    def judge(self, case: Case, label: str, models: Sequence[Artifact | None]) -> Artifact | None:
        """The evaluation of the models of all runs."""
        name = f"{case.joint_name(self.options)}-{label}"
        fast = EvalSettings(resamples=100, plots=False)
        settings = fast if self.options.fast else EvalSettings()
        return self._step(
            "eval",
            name,
            models,
            lambda: evaluate(
                settings,
                store=self.store,
                models=[_ref(model) for model in models],
                name=name,
                reporter=self._reporter,
            ),
        )

    def _step(
        self,
        stage: str,
        name: str,
        needs: Sequence[Artifact | None],
        make: Callable[[], Outcome],
    ) -> Artifact | None:
        if (stage, name) in self._made:
            return self._made[stage, name]
        artifact, cached = None, False
        if None not in needs:
            self._reporter.note(f"+ {stage} {name}")
            try:
                outcome = make()
            except NotMadeError:
                pass
            else:
                artifact, cached = outcome.artifact, outcome.cached
        self._made[stage, name] = artifact
        self.steps.append(Step(stage, name, cached))
        return artifact

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
            self.reporter.note(text)

    @property
    def planning(self) -> bool:
        """Whether this is a dry run."""
        return isinstance(self.store, PlanningStore)

    @property
    def _reporter(self) -> Reporter:
        return SilentReporter() if self.planning else self.reporter


def _ref(artifact: Artifact | None) -> str:
    assert artifact is not None, "a step runs when all it needs is there"
    return str(artifact.ref)
