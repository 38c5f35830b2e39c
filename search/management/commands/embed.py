from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from gallery.storage import StorageUnavailable
from search import encoders, pipeline, switching, tasks
from search.encoders import EncoderUnavailable
from search.index import BuildFailed
from search.models import Encoder
from search.pipeline import Tally
from search.switching import CannotSwitch

_ENCODERS = f"One of {', '.join(encoders.SPECS)}, and options (docs/encoders.md); by default the one that serves."


class Command(BaseCommand):
    help = (
        "Embed every asset with an encoder, beside the one that serves and after what that has pending, and build the "
        "index. Searches do not change until manage.py activate. Interrupted, it goes on where it stopped when run "
        "again. What is uploaded from then on gets vectors by both."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--encoder", help=_ENCODERS)
        parser.add_argument("--retry-failed", action="store_true", help="Try again what failed before.")
        who = parser.add_mutually_exclusive_group()
        who.add_argument("--background", action="store_true", help="Let the workers do it, or go on, and return.")
        who.add_argument("--pause", action="store_true", help="Let the workers leave it alone; nothing made is lost.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["pause"]:
                self._pause(options["encoder"])
                return
            row = self._row(options["encoder"])
            if options["retry_failed"]:
                pipeline.retry(list(row.embeddings.exclude(error="").values_list("asset_id", flat=True)), row)
            if options["background"]:
                self._leave_to_workers(row)
            else:
                self._embed(row)
        except (CannotSwitch, StorageUnavailable) as error:
            raise CommandError(str(error)) from None
        except EncoderUnavailable as error:
            raise CommandError(f"The encoder cannot be used. {error.reason} {error.remedy}") from None

    def _row(self, name: str | None) -> Encoder:
        try:
            row = _named(name) if name else switching.chosen(None)
            row.load()
        except LookupError as error:
            raise CommandError(str(error)) from None
        return row

    def _pause(self, name: str | None) -> None:
        row = switching.chosen(name)
        switching.pause(row)
        named = switching.called(row)
        self.stdout.write(f"Workers leave {named} alone. To go on: manage.py embed --encoder {named} --background")

    def _leave_to_workers(self, row: Encoder) -> None:
        switching.fill(row)
        tasks.queue_pending()
        self.stdout.write(f"The workers embed with {row}. How far they are: manage.py encoders")

    def _embed(self, row: Encoder) -> None:
        try:
            tally = self._embed_all(row)
        except KeyboardInterrupt:
            self.stderr.write("\nStopped. What is embedded is kept; run the same again to go on.")
            raise SystemExit(130) from None
        self.stdout.write(f"{tally.ready} embedded, {tally.failed} failed.")
        if not row.is_active:
            self._finish(row)

    def _embed_all(self, row: Encoder) -> Tally:
        with tqdm(total=pipeline.pending_count(row), unit="asset", desc=row.name, disable=None) as bar:

            def show(tally: Tally) -> None:
                bar.set_postfix(failed=tally.failed, refresh=False)
                bar.update(tally.total - bar.n)

            return switching.embed_all(row, show)

    def _finish(self, row: Encoder) -> None:
        switching.fill(row)
        if pending := pipeline.pending_count(row):
            self.stdout.write(f"Others are at {pending:,} more, or they are tried again in a minute: run this again.")
            return
        try:
            switching.make_ready(row)
        except BuildFailed as error:
            self.stderr.write(f"{error} Searches by {row} are exact until there is one.")
        serve = f"manage.py activate {switching.called(row)}"
        self.stdout.write(self.style.SUCCESS(f"{row} is ready. To let it serve: {serve}"))


def _named(name: str) -> Encoder:
    """What was learned here is known by its row, all others by their spec. Raises LookupError, CannotSwitch."""
    return switching.find(name) if switching.names_row(name) else Encoder.objects.for_spec(encoders.spec(name))
