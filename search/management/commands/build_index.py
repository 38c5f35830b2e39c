from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from search import index, kinds, switching
from search.index import BuildFailed
from search.models import Encoder, IndexBuild
from search.switching import CannotSwitch


class Command(BaseCommand):
    help = "Build the index of an encoder, measure it, and let it take over. Searches go on meanwhile."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--encoder", help="Its name, or its number; by default the one that serves.")
        parser.add_argument(
            "--kind",
            choices=kinds.NAMES,
            help="From now on for this encoder; by default as chosen before, or else INDEX_KIND. "
            "exact: no index, every vector is compared.",
        )
        parser.add_argument(
            "--beside",
            action="store_true",
            help="Keep it beside the one that serves, which goes on serving, to compare the two on the page for that.",
        )
        parser.add_argument("--drop", action="store_true", help="With --beside: drop what was kept of this kind again.")
        parser.add_argument("--lists", type=int, help="Lists of an ivfflat index; by default fit to the rows.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            row = switching.chosen(options["encoder"])
        except CannotSwitch as error:
            raise CommandError(str(error)) from None
        if options["lists"] and (options["kind"] or index.kind_wanted(row)) != "ivfflat":
            raise CommandError("--lists is for the kind ivfflat.")
        if options["beside"] or options["drop"]:
            self._beside(row, options["kind"], drops=options["drop"])
            return
        parameters = {"lists": options["lists"]} if options["lists"] else None
        try:
            built = index.build(row, kind=options["kind"], parameters=parameters)
        except BuildFailed as error:
            raise CommandError(str(error)) from None
        self.stdout.write(_told(built) if built else "No index: every search compares every vector.")

    def _beside(self, row: Encoder, kind: str | None, *, drops: bool) -> None:
        if kind is None or kind == kinds.EXACT:
            raise CommandError("--beside and --drop are for a --kind of index. Exact search needs none.")
        try:
            if drops:
                count = index.drop_beside(row, kind)
                self.stdout.write(f"{kind} is dropped." if count else f"No {kind} was kept beside.")
            else:
                self.stdout.write(f"{_told(index.keep_beside(row, kind))}; kept to compare")
        except BuildFailed as error:
            raise CommandError(str(error)) from None


def _told(built: IndexBuild) -> str:
    assert built.tuned is not None  # noqa: S101 (it serves)
    step = built.tuned.steps[0]
    searched = f"{kinds.get(built.kind).breadth} {step.breadth}"
    if step.candidates is not None:
        searched += f", candidates {step.candidates}"
    made_with = ", ".join(f"{name} {value}" for name, value in built.summary.items())
    return (
        f"{built.kind} over {built.rows} embeddings: {made_with}, {searched}; "
        f"recall@10 {built.recall:.3f}, {step.p50_ms:.2f} ms"
    )
