import csv
import json
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, ProgrammingError, transaction
from tqdm import tqdm

from search import encoders, index, kinds, switching
from search.encoders import EncoderUnavailable, ImageEncoder
from search.evaluation import against_exact, layouts, problems, report, run
from search.evaluation.folders import encode_images
from search.evaluation.indexes import by_index
from search.evaluation.layouts import LayoutError, Task
from search.evaluation.problems import Problem
from search.evaluation.robustness import Recall, robustness
from search.evaluation.run import Outcome
from search.index import BuildFailed
from search.metrics import COSINE, METRICS, Metric
from search.models import Encoder, Evaluation, IndexBuild
from search.switching import CannotSwitch

_HEADER = "by".ljust(44)
#: What an index of an encoder comes to.
Find = Callable[[Encoder, IndexBuild], list[Outcome]]
#: A file's name may hold bytes that are no letters.
_ODD_LETTERS = "backslashreplace"


@dataclass(frozen=True)
class Used:
    """An encoder: its row where the gallery's vectors are asked for, and itself where pictures are encoded."""

    name: str
    revision: str
    row: Encoder | None
    encoder: ImageEncoder | None

    @property
    def known_row(self) -> Encoder:
        assert self.row  # noqa: S101 (see Command._used)
        return self.row

    @property
    def known_encoder(self) -> ImageEncoder:
        assert self.encoder  # noqa: S101
        return self.encoder


class Command(BaseCommand):
    help = (
        "How well pictures are found: precision, recall, mAP, NDCG and more, of labelled folders without importing "
        "them, or of the gallery by its collections or tags; or how much of what exact search finds an index finds. "
        "Each figure comes with a 95 % bootstrap interval; further encoders, metrics and indexes are held against the "
        "first, query by query."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--classes", type=Path, metavar="DIR", help="A folder with one folder for each class.")
        source.add_argument(
            "--folder", type=Path, metavar="DIR",
            help=f"A folder in any layout known: {', '.join(layouts.LAYOUTS)}.",
        )  # fmt: skip
        source.add_argument("--labels", choices=problems.LABELS, help="The gallery: what labels its assets.")
        source.add_argument(
            "--gallery", action="store_true",
            help="The gallery itself: how much of what exact search finds an index finds, the one that serves or of "
            "each --kind.",
        )  # fmt: skip
        parser.add_argument(
            "--encoder", action="append", default=[], metavar="NAME", help="May be repeated; default: what serves."
        )
        parser.add_argument(
            "--kind", action="append", choices=[name for name in kinds.NAMES if name != kinds.EXACT], default=[],
            help="With --labels also by an index of that kind, with --gallery by that alone: built for this and gone "
            "afterwards. May be repeated.",
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
        if options["kind"] and not _is_of_gallery(options):
            raise CommandError("Indexes are of the gallery: --kind goes with --labels or --gallery.")
        if options["gallery"]:
            _refuse_beside_gallery(options)
        for path in filter(None, (options["json"], options["csv"], options["report"])):
            if not path.parent.is_dir():
                raise CommandError(f"{path.parent} is not a folder to write into.")
            if path.is_dir():
                raise CommandError(f"{path} is a folder, where a file is to be written.")
        used = [self._used(name, options) for name in options["encoder"] or [None]]
        evaluated = list(self._evaluated(used, options))
        outcomes = [outcome for _, several in evaluated for outcome in several]
        if not outcomes:
            raise CommandError("No index could be built: there is nothing to measure.")
        self._tell(outcomes)
        self._keep(outcomes)
        found_again = self._found_again(used, evaluated) if options["robustness"] else {}
        if options["json"]:
            _write(options["json"], json.dumps(report.as_json(evaluated, found_again), indent=1))
        if options["csv"]:
            with options["csv"].open("w", encoding="utf-8", errors=_ODD_LETTERS, newline="") as file:
                csv.writer(file).writerows(report.as_rows(outcomes))
        if options["report"]:
            _write(options["report"], report.as_html(evaluated, found_again))

    def _used(self, name: str | None, options: dict[str, Any]) -> Used:
        """All that is needed of an encoder, before any work is done: of several, the last may be the one amiss."""
        needs_row = name is None or _is_of_gallery(options) or switching.names_row(name)
        try:
            row = self._row(name) if needs_row else None
            is_loaded = options["robustness"] or not _is_of_gallery(options)
            encoder = (row.load() if row else encoders.load(str(name))) if is_loaded else None
        except (LookupError, EncoderUnavailable, CannotSwitch) as error:
            raise CommandError(str(error)) from None
        revision = row.revision if row else encoders.spec(str(name)).revision
        return Used(row.name if row else str(name), revision, row, encoder)

    def _row(self, name: str | None) -> Encoder:
        try:
            return switching.chosen(name)
        except ProgrammingError:
            raise CommandError("The gallery is not set up yet: make run does that.") from None

    def _evaluated(
        self, used: Sequence[Used], options: dict[str, Any]
    ) -> Iterator[tuple[Problem | None, list[Outcome]]]:
        if options["gallery"]:
            yield from self._against_exact(used, options)
            return
        metrics = _metrics(options)
        task = self._task(options)
        for one in used:
            problem = self._embedded(task, one) if task else problems.of_gallery(one.known_row, options["labels"])
            try:
                outcomes = [
                    found
                    for metric in metrics
                    for found in run.evaluate(problem, one.name, revision=one.revision, metric=metric)
                ]
            except ValueError as error:
                raise CommandError("\n".join([str(error), *problem.notes])) from None
            yield problem, outcomes + self._by_kinds(one, options["kind"], partial(by_index, problem))

    def _against_exact(
        self, used: Sequence[Used], options: dict[str, Any]
    ) -> Iterator[tuple[Problem | None, list[Outcome]]]:
        """By the index that serves, or by each kind."""
        serving = [None if options["kind"] else _serving(one.known_row) for one in used]
        try:
            asked = [against_exact.draw(one.known_row) for one in used]
        except ValueError as error:
            raise CommandError(str(error)) from None
        for one, some, build in zip(used, asked, serving, strict=True):
            find = partial(against_exact.outcomes, some, _metrics(options))
            yield None, find(one.known_row, build) if build else self._by_kinds(one, options["kind"], find)

    def _by_kinds(self, used: Used, wanted: Sequence[str], find: Find) -> list[Outcome]:
        return [found for kind in wanted for found in self._by_index(used.known_row, kind, find)]

    def _by_index(self, row: Encoder, kind: str, find: Find) -> list[Outcome]:
        self.stderr.write(f"Building an index: {kind} ...")
        try:
            with index.trial(row, kind) as made:
                return find(row, made)
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

    def _keep(self, outcomes: Sequence[Outcome]) -> None:
        """For the admin. A folder can be evaluated before the gallery is set up."""
        try:
            with transaction.atomic():
                Evaluation.objects.bulk_create(report.as_row(outcome) for outcome in outcomes)
        except (DatabaseError, UnicodeError) as error:
            self.stderr.write(f"Not kept for the admin: {error}")

    def _found_again(self, used: Sequence[Used], evaluated: report.Evaluated) -> dict[str, list[Recall]]:
        """By encoder; of what can be opened still."""
        again = {}
        for one, (problem, _) in zip(used, evaluated, strict=True):
            assert problem  # noqa: S101 (--robustness was refused beside --gallery)
            try:
                again[one.name] = self._altered(problem, one)
            except ValueError as error:
                self.stderr.write(f"{one.name}: {error}")
        return again

    def _altered(self, problem: Problem, used: Used) -> list[Recall]:
        with tqdm(total=len(problem.names), unit="picture", desc=f"{used.name}, altered", disable=None) as bar:
            recalls = robustness(
                problem.pictures(used.known_encoder.decode_side_px),
                lambda images: encode_images(images, used.known_encoder),
                dict(zip(problem.names, problem.vectors, strict=True)),
                progress=bar.update,
            )
        self.stdout.write(f"{used.name}, found again when altered:")
        for one in recalls:
            self.stdout.write(f"  {one.kind:24} {one.strength:16} recall@1 {one.at_1:.3f} of {one.tried}")
        return recalls

    def _embedded(self, task: Task, used: Used) -> Problem:
        with tqdm(total=len(task.views), unit="picture", desc=used.name, disable=None) as bar:
            return problems.of_task(task, used.known_encoder, progress=bar.update)

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        first, told = outcomes[0], report.brief(outcomes)
        self.stdout.write(_text(f"{first.problem}: {len(first.answered)} queries among {first.database} pictures"))
        for note in dict.fromkeys(note for outcome in outcomes for note in outcome.notes):
            self.stdout.write(_text(f"  {note}"))
        self.stdout.write(_HEADER + "".join(f"{name:>22}" for name in told))
        for outcome in outcomes:
            name = f"{outcome.by}, {outcome.protocol}"
            self.stdout.write(f"{name:44}" + "".join(f"{_figure(outcome, measure):>22}" for measure in told))
        for line in report.comparisons(outcomes):
            self.stdout.write(line)


def _is_of_gallery(options: dict[str, Any]) -> bool:
    return bool(options["labels"] or options["gallery"])


def _metrics(options: dict[str, Any]) -> list[Metric]:
    return [METRICS[name] for name in options["metric"] or [COSINE.name]]


def _refuse_beside_gallery(options: dict[str, Any]) -> None:
    """What an index has no part in."""
    if options["robustness"]:
        raise CommandError("--robustness tells of an encoder, and --gallery of an index: ask for one at a time.")
    exact = [metric.name for metric in _metrics(options) if not metric.ranks_as_cosine]
    if exact:
        served = ", ".join(metric.name for metric in METRICS.values() if metric.ranks_as_cosine)
        raise CommandError(f"No index serves {exact[0]}: a search by it is exact. --gallery takes {served}.")


def _serving(row: Encoder) -> IndexBuild:
    build = IndexBuild.objects.serving(row)
    if build is None or build.tuned is None:
        raise CommandError(
            f"No index of {row.name} serves: every search is exact, and misses nothing. "
            "Give --kind to measure one that is built for this."
        )
    return build


def _figure(outcome: Outcome, measure: str) -> str:
    interval, places = outcome.intervals.get(measure), report.decimals(measure)
    if interval is None:
        return "-"  # an index does not rank all there is
    return f"{interval.estimate:.{places}f} [{interval.low:.{places}f}, {interval.high:.{places}f}]"


def _text(named: str) -> str:
    """What a terminal takes."""
    return named.encode("utf-8", _ODD_LETTERS).decode()


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors=_ODD_LETTERS)
