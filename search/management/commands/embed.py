from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from search import encoders, index, pipeline, tasks
from search.encoders import EncoderUnavailable
from search.index import BuildFailed
from search.models import Encoder
from search.pipeline import Tally


class Command(BaseCommand):
    help = (
        "Embed every asset with an encoder, beside the one that serves; then let it serve. "
        "Interrupted, it goes on where it stopped when run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--encoder", help=f"One of {', '.join(encoders.SPECS)}; by default the one that serves.")
        parser.add_argument("--retry-failed", action="store_true", help="Try again what failed before.")

    def handle(self, *args: Any, **options: Any) -> None:
        row = self._row(options["encoder"])
        if options["retry_failed"]:
            pipeline.retry(list(row.embeddings.exclude(error="").values_list("asset_id", flat=True)), row)
        self._embed(row)
        if not row.is_active:
            self._let_serve(row)

    def _row(self, name: str | None) -> Encoder:
        serving = Encoder.objects.active()
        if name is None and serving is None:
            raise CommandError("No encoder serves yet. Name one with --encoder, or run manage.py prepare.")
        try:
            row = Encoder.objects.for_spec(encoders.spec(name)) if name else serving
            assert row is not None  # noqa: S101 (said above)
            row.load()
        except LookupError as error:
            raise CommandError(str(error)) from None
        except EncoderUnavailable as error:
            raise CommandError(f"The encoder cannot be used. {error.reason} {error.remedy}") from None
        return row

    def _embed(self, row: Encoder) -> None:
        with tqdm(total=pipeline.pending_count(row), unit="asset", desc=row.name, disable=None) as bar:

            def show(tally: Tally) -> None:
                bar.set_postfix(failed=tally.failed, refresh=False)
                bar.update(tally.total - bar.n)

            tally = pipeline.embed_pending(row, progress=show)
        self.stdout.write(f"{tally.ready} embedded, {tally.failed} failed.")

    def _let_serve(self, row: Encoder) -> None:
        if index.is_due(row):
            try:
                index.build(row)
            except BuildFailed as error:
                self.stderr.write(f"{error} Searches are exact until there is one.")
        before = Encoder.objects.active()
        row.activate()
        tasks.queue_pending()  # what was uploaded meanwhile has vectors by the other alone
        self.stdout.write(self.style.SUCCESS(f"{row.name} serves searches now."))
        if before:
            self.stdout.write(
                f"The vectors by {before.name} are kept. To go back: manage.py embed --encoder {before.name}"
            )
