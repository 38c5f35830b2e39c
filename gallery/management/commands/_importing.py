"""What commands share that import pictures: for whom, into which collection, how far, and what came of it."""

import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from gallery.forms import collection_named
from gallery.ingest.bulk import Outcome, Report, printable
from gallery.models import Asset, Collection, Tag
from gallery.uploads import Details

#: Seconds between looks at how many are still being analysed, and without any progress until we stop looking.
_LOOK_SECONDS, _STALLED_SECONDS = 0.5, 180
#: Exit status that shells give a command ended by Ctrl-C: 128 + SIGINT.
INTERRUPTED = 130

EXIT_STATUS = "Exit status: 0 if every picture is stored, 1 if some were refused, 130 if interrupted."

T = TypeVar("T")


class ImportCommand(BaseCommand):
    was_interrupted = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        self.add_detail_arguments(parser)
        parser.add_argument("--wait", action="store_true", help="Wait until all can be searched, too.")

    def add_detail_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", help="Name of the owner of the assets; by default the first admin.")
        parser.add_argument("--collection", help="Name of the collection to put them in; made if there is none.")
        parser.add_argument("--tag", action="append", default=[], help="A tag for each; may be given several times.")

    def run_import(
        self,
        sources: Sequence[T],
        store_all: Callable[[Sequence[T], User, Details], Iterator[Outcome[T]]],
        options: dict[str, Any],
        named: Callable[[T], object] = str,
    ) -> None:
        """Import the sources, and exit with what came of it. `named` is what people call a source."""
        started = time.monotonic()
        owner, details = self.owner_and_details(options)
        report = self._import(len(sources), store_all(sources, owner, details))
        for outcome in report.refused:
            self.tell_refused(outcome, named)
        self.tell_tally(report, f"in {time.monotonic() - started:.1f} s")
        if self.was_interrupted:
            sys.exit(INTERRUPTED)
        if options["wait"]:
            self._wait(started)
        if report.refused:
            sys.exit(1)

    def owner_and_details(self, options: dict[str, Any]) -> tuple[User, Details]:
        owner = self._owner(options["user"])
        for name in options["tag"]:
            self._check(Tag(name=name), f"The tag {name[:40]!r}")
        return owner, Details(collection=self._collection(options["collection"], owner), tags=options["tag"])

    def tell_refused(self, outcome: Outcome[T], named: Callable[[T], object] = str) -> None:
        self.stdout.write(f"refused  {printable(str(named(outcome.source)))}: {outcome.refused}")

    def tell_tally(self, report: Report[T], when: str) -> None:
        self.stdout.write(
            f"{report.stored} stored, {report.duplicates} there already, {len(report.refused)} refused, {when}"
        )

    def _owner(self, name: str | None) -> User:
        found = User.objects.filter(username=name) if name else User.objects.filter(is_superuser=True).order_by("pk")
        owner = found.first()
        if owner is None:
            raise CommandError(f"There is no user {name}." if name else "There is no admin yet. Run manage.py prepare.")
        return owner

    def _collection(self, name: str | None, owner: User) -> Collection | None:
        if name:
            self._check(Collection(name=name, owner=owner), f"The collection {name[:40]!r}")
        return collection_named(name or "", owner)

    def _check(self, named: Collection | Tag, what: str) -> None:
        try:
            named.clean_fields()
        except ValidationError as error:
            raise CommandError(f"{what} does not fit: {' '.join(error.messages)}") from None

    def _import(self, total: int, outcomes: Iterator[Outcome[T]]) -> Report[T]:
        report = Report[T]()
        with tqdm(total=total, unit="file", desc="Importing", file=sys.stderr, disable=None) as bar:
            try:
                for outcome in outcomes:
                    report.add(outcome)
                    bar.set_postfix(refused=len(report.refused), refresh=False)
                    bar.update()
            except KeyboardInterrupt:
                self.stderr.write("Interrupted. Run the same command again to go on.")
                self.was_interrupted = True
        return report

    def _wait(self, started: float) -> None:
        pending = Asset.objects.kept().filter(status=Asset.Status.PENDING)
        with tqdm(total=pending.count(), unit="asset", desc="Analysing", file=sys.stderr, disable=None) as bar:
            left, looked = pending.count(), time.monotonic()
            while left:
                time.sleep(_LOOK_SECONDS)
                before, left = left, pending.count()
                bar.update(before - left)
                if left != before:
                    looked = time.monotonic()
                if time.monotonic() - looked > _STALLED_SECONDS:
                    raise CommandError(f"{left} assets stay pending. Is a worker running? `make run` starts one.")
        counts = Asset.objects.counts_by_status()
        self.stdout.write(
            f"{counts['ready']} ready, {counts['failed']} failed, {time.monotonic() - started:.1f} s after the start"
        )
