import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from functools import partial
from typing import Any

from django.core.management.base import CommandError
from tqdm import tqdm

from gallery.errors import Refused
from gallery.ingest.bulk import Outcome, printable
from gallery.ingest.crawl.frontier import Found, Limits, Scope
from gallery.ingest.crawl.site import Site
from gallery.ingest.crawl.spider import Crawl, Tally, run
from gallery.management.commands._importing import EXIT_STATUS, INTERRUPTED, ImportCommand

_MOST_DELAY_S = 3600


class Command(ImportCommand):
    help = (
        "Store the pictures of a web site: of the page at URL, and of what it links to on the same host and port. Run "
        "again, it goes on where it stopped; after a crawl that finished it looks for what is new. What robots.txt "
        f"forbids is left out. {EXIT_STATUS}"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url", metavar="URL")
        super().add_arguments(parser)
        parser.add_argument(
            "--pictures-from",
            action="append",
            default=[],
            metavar="HOST",
            help="Another host whose pictures to take where pages show them; may be given several times.",
        )
        add_limit = partial(parser.add_argument, type=_positive, metavar="N")
        add_limit("--pages", default=1000, help="Most pages to ask for in this run (%(default)s).")
        add_limit("--depth", default=10, help="Most links to follow from URL (%(default)s).")
        add_limit("--bytes", default=10_000_000_000, help="Stop once so much has come in this run (%(default)s).")
        add_limit("--seconds", default=3600, help="Stop after so long (%(default)s).")
        parser.add_argument(
            "--delay",
            type=_seconds,
            default=1.0,
            metavar="S",
            help="Seconds between requests (%(default)s); more where the site is slow or its robots.txt asks for it.",
        )
        parser.add_argument(
            "--min-side", type=int, default=100, metavar="PX", help="Leave out what is narrower or lower (%(default)s)."
        )

    def handle(self, *args: Any, url: str, **options: Any) -> None:
        started = time.monotonic()
        owner, details = self.owner_and_details(options)
        limits = Limits(options["pages"], options["depth"], options["bytes"], options["seconds"], options["min_side"])
        with tqdm(unit="page", desc="Crawling", file=sys.stderr, disable=None) as bar:

            def tell_refused(outcome: Outcome[Found]) -> None:
                bar.clear()
                self.tell_refused(outcome)

            def tell_progress(tally: Tally) -> None:
                pictures = tally.stored + tally.identical + tally.too_small + tally.refused.total()
                counts = {"pictures": pictures, "stored": tally.stored, "refused": tally.refused.total()}
                bar.set_postfix(counts, refresh=False)
                bar.update(tally.pages - bar.n)

            try:
                tally = run(
                    Crawl(
                        _scope(url, options["pictures_from"]),
                        limits,
                        options["delay"],
                        owner,
                        details,
                        tell_refused,
                        tell_progress,
                    )
                )
            except Refused as refused:
                raise CommandError(f"{printable(url)}: {refused}") from None
            except KeyboardInterrupt:  # a second one, while what was under way was finished
                sys.exit(INTERRUPTED)
        if tally.start_failure and not tally.pages:
            raise CommandError(f"{printable(url)}: {printable(tally.start_failure)}")
        self._tell(tally, time.monotonic() - started)
        if tally.is_interrupted:
            sys.exit(INTERRUPTED)
        if options["wait"]:
            self._wait(started)
        if tally.refused:
            sys.exit(1)

    def _tell(self, tally: Tally, seconds: float) -> None:
        by_code = ", ".join(f"{count} {code}" for code, count in sorted(tally.refused.items()))
        self.stdout.write(
            f"{tally.pages} pages read, {tally.pages_unread} not, {tally.forbidden} URLs forbidden by robots.txt\n"
            f"{tally.stored} pictures stored, {tally.identical} there already, {tally.too_small} too small, "
            f"{tally.refused.total()} refused{f' ({by_code})' if by_code else ''}, in {seconds:.1f} s"
        )
        if tally.elsewhere:
            hosts = printable(", ".join(tally.elsewhere))
            self.stdout.write(f"Pictures of other hosts were left out; --pictures-from takes them: {hosts}")
        if tally.stopped_by:
            self.stdout.write(
                f"Stopped by {printable(tally.stopped_by)}; {tally.pages_left} pages and {tally.pictures_left} "
                "pictures are left. Run the same command again to go on."
            )


def _scope(url: str, hosts: list[str]) -> Scope:
    site = Site.of(url)
    return Scope(url, site, frozenset([site, *(Site.of(f"https://{host}") for host in hosts)]))


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError("it must be a whole number above 0")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= _MOST_DELAY_S:
        raise ArgumentTypeError(f"it must be a number of seconds, at most {_MOST_DELAY_S}")
    return seconds
