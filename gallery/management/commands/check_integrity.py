import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from gallery.errors import Refused
from gallery.ingest.bulk import printable
from gallery.integrity import Fault, Finding, check_assets, orphans, remove_orphan
from gallery.management.commands._importing import INTERRUPTED
from gallery.models import Asset
from gallery.uploads import storage_errors


class Command(BaseCommand):
    help = (
        "Read every original and compare it with what was stored; find renditions that are missing, and files that "
        "belong to no asset. Exit status: 0 if all is well or repaired, 1 if something is not, 130 if interrupted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--repair",
            action="store_true",
            help="Render anew what is missing, and delete files that belong to no asset. Originals that are missing "
            "or altered are only reported: bring them back from a backup.",
        )

    def handle(self, *args: Any, repair: bool, **options: Any) -> None:
        found: list[Finding] = []
        checked = 0
        try:
            with storage_errors():
                for findings in self._followed(check_assets(repair=repair), found):
                    checked += 1
                    found += findings
                found += (Finding(Fault.ORPHAN, name, repair and remove_orphan(name)) for name in orphans())
        except KeyboardInterrupt:
            self._tell(found, checked)
            sys.exit(INTERRUPTED)
        except Refused as refused:
            self._tell(found, checked)
            raise CommandError(str(refused)) from None
        self._tell(found, checked)
        if not all(finding.repaired for finding in found):
            sys.exit(1)

    def _followed(self, checks: Iterable[list[Finding]], found: list[Finding]) -> Iterator[list[Finding]]:
        with tqdm(total=Asset.objects.count(), unit="asset", desc="Checking", file=sys.stderr, disable=None) as bar:
            for findings in checks:
                yield findings
                bar.set_postfix(faults=len(found), refresh=False)
                bar.update()

    def _tell(self, found: Iterable[Finding], checked: int) -> None:
        for finding in found:
            done = "repaired  " if finding.repaired else ""
            self.stdout.write(f"{done}{finding.fault}  {printable(finding.where)}")
        faults, repaired = Counter(one.fault for one in found), Counter(one.fault for one in found if one.repaired)
        counts = (f"{faults[fault]} {fault} ({repaired[fault]} repaired)" for fault in faults)
        self.stdout.write(f"{checked} assets checked: {', '.join(counts) or 'all is well'}")
