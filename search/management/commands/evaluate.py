import csv
import json
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError, transaction
from tqdm import tqdm

from search import encoders, index, kinds
from search.encoders import EncoderUnavailable
from search.evaluation import layouts, problems, report, run
from search.evaluation.folders import encode_images
from search.evaluation.indexes import by_index
from search.evaluation.layouts import LayoutError, Task
from search.evaluation.problems import Problem
from search.evaluation.robustness import Recall, robustness
from search.evaluation.run import Outcome
from search.index import BuildFailed
from search.metrics import COSINE, METRICS
from search.models import HEAD_SIGN, Encoder, Evaluation

#: What the terminal shows of the measures.
_TOLD = ("precision@1", "precision@10", "recall@10", "map", "map@10", "ndcg@10", "median_rank")
_HEADER = "by".ljust(44)


class Command(BaseCommand):
    help = (
        "How well pictures are found: precision, recall, mAP, NDCG and more, of labelled folders without importing "
        "them, or of the gallery by its collections or tags. Each figure comes with a 95 % bootstrap interval; further "
        "encoders and metrics are held against the first, query by query."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--classes", type=Path, metavar="DIR", help="A folder with one folder for each class.")
        source.add_argument(
            "--folder", type=Path, metavar="DIR",
            help=f"A folder in any layout known: {', '.join(layouts.LAYOUTS)}.",
        )  # fmt: skip
        source.add_argument("--labels", choices=problems.LABELS, help="The gallery: what labels its assets.")
        parser.add_argument(
            "--encoder", action="append", default=[], metavar="NAME", help="May be repeated; default: what serves."
        )
        parser.add_argument(
            "--kind", action="append", choices=kinds.NAMES, default=[],
            help="With --labels: also by an index of that kind, built for this and gone afterwards. May be repeated.",
        )  # fmt: skip
        parser.add_argument("--metric", action="append", choices=list(METRICS), help="May be repeated.")
        parser.add_argument(
            "--robustness", action="store_true",
            help="Also whether each picture is found by its own crops, rescales, rotations, greyscale and more.",
        )  # fmt: skip
        parser.add_argument("--json", type=Path, metavar="FILE")
        parser.add_argument("--csv", type=Path, metavar="FILE")
        parser.add_argument(
            "--report", type=Path, metavar="HTML", help="With curves, confusions and the worst queries."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["kind"] and not options["labels"]:
            raise CommandError("Indexes are of the gallery: --kind goes with --labels.")
        for path in filter(None, (options["json"], options["csv"], options["report"])):
            if not path.parent.is_dir():
                raise CommandError(f"{path.parent} is not a folder to write into.")
        evaluated = list(self._evaluated(options))
        outcomes = [outcome for _, several in evaluated for outcome in several]
        self._tell(outcomes)
        self._keep(outcomes)
        found_again = self._found_again(evaluated) if options["robustness"] else {}
        if options["json"]:
            told = json.dumps(report.as_json(outcomes, found_again), indent=1)
            options["json"].write_text(told, encoding="utf-8")
        if options["csv"]:
            with options["csv"].open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(report.as_rows(outcomes))
        if options["report"]:
            options["report"].write_text(report.as_html(evaluated, found_again), encoding="utf-8")

    def _evaluated(self, options: dict[str, Any]) -> Iterator[tuple[Problem, list[Outcome]]]:
        metrics = [METRICS[name] for name in options["metric"] or [COSINE.name]]
        task = self._task(options)
        for name in options["encoder"] or [self._serving()]:
            problem = self._embedded(task, name) if task else problems.of_gallery(self._row(name), options["labels"])
            try:
                outcomes = [found for metric in metrics for found in run.evaluate(problem, name, metric=metric)]
                outcomes += [found for kind in options["kind"] for found in self._by_index(problem, name, kind)]
            except ValueError as error:
                raise CommandError(str(error)) from None
            yield problem, outcomes

    def _by_index(self, problem: Problem, name: str, kind: str) -> list[Outcome]:
        self.stderr.write(f"Building an index: {kind} ...")
        row = self._row(name)
        try:
            with index.trial(row, kind) as made:
                return by_index(problem, row, made)
        except BuildFailed as error:  # a gallery may be too small for one kind; the others can be told all the same
            self.stderr.write(f"{kind}: {error}")
            return []

    def _task(self, options: dict[str, Any]) -> Task | None:
        try:
            if options["classes"]:
                return layouts.read_classes(options["classes"])
            return layouts.read(options["folder"]) if options["folder"] else None
        except LayoutError as error:
            raise CommandError(str(error)) from None

    def _serving(self) -> str:
        row = Encoder.objects.active()
        if row is None:
            raise CommandError("No encoder serves yet: name one with --encoder, or run manage.py prepare.")
        return row.name

    def _keep(self, outcomes: Sequence[Outcome]) -> None:
        """For the admin. A folder can be evaluated before the gallery is set up."""
        try:
            with transaction.atomic():
                Evaluation.objects.bulk_create(report.as_row(outcome) for outcome in outcomes)
        except ProgrammingError:
            self.stderr.write("Not kept for the admin: the gallery is not set up yet. make run does that.")

    def _found_again(self, evaluated: report.Evaluated) -> dict[str, list[Recall]]:
        """By encoder; of what can be opened still."""
        names = [(problem, outcomes[0].by.encoder) for problem, outcomes in evaluated]
        return {name: self._altered(problem, name) for problem, name in names}

    def _altered(self, problem: Problem, name: str) -> list[Recall]:
        row = Encoder.objects.filter(name=name).first() if HEAD_SIGN in name else None
        encoder = row.load() if row else encoders.load(name)
        with tqdm(total=len(problem.names), unit="picture", desc=f"{name}, altered", disable=None) as bar:
            recalls = robustness(
                problem.pictures(encoder.decode_side_px),
                lambda images: encode_images(images, encoder),
                dict(zip(problem.names, problem.vectors, strict=True)),
                progress=bar.update,
            )
        for one in recalls:
            self.stdout.write(f"{one.kind:24} {one.strength:16} recall@1 {one.at_1:.3f} of {one.tried}")
        return recalls

    def _embedded(self, task: Task, name: str) -> Problem:
        try:
            encoder = encoders.load(name)
        except (LookupError, EncoderUnavailable) as error:
            raise CommandError(str(error)) from None
        with tqdm(total=len(task.views), unit="picture", desc=name, disable=None) as bar:
            return problems.of_task(task, encoder, progress=bar.update)

    def _row(self, name: str) -> Encoder:
        row = Encoder.objects.filter(name=name).order_by("-is_active", "-pk").first()
        if row is None:
            raise CommandError(f"No asset is embedded by {name}. Run: manage.py embed --encoder {name}")
        return row

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        first = outcomes[0]
        self.stdout.write(f"{first.problem}: {len(first.answered)} queries among {first.database} pictures")
        for note in dict.fromkeys(note for outcome in outcomes for note in outcome.notes):
            self.stdout.write(f"  {note}")
        self.stdout.write(_HEADER + "".join(f"{name:>22}" for name in _TOLD))
        for outcome in outcomes:
            name = f"{outcome.by}, {outcome.protocol}"
            self.stdout.write(f"{name:44}" + "".join(f"{_figure(outcome, measure):>22}" for measure in _TOLD))
        for told in report.comparisons(outcomes):
            self.stdout.write(told)


def _figure(outcome: Outcome, measure: str) -> str:
    if measure == "map" and outcome.by.index != kinds.EXACT:
        return "-"  # an index does not rank all there is
    interval, places = outcome.intervals[measure], 0 if measure == "median_rank" else 3
    return f"{interval.estimate:.{places}f} [{interval.low:.{places}f}, {interval.high:.{places}f}]"
