import json
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand
from django.template.defaultfilters import filesizeformat

from search import switching
from search.encoders import EncoderSpec
from search.switching import Standing, State

_HEADINGS = (
    "#", "NAME", "STATE", "EMBEDDED", "FAILED", "PENDING", "SIZE", "INDEX", "RECALL", "IMAGES/S", "DTYPE", "REVISION",
)  # fmt: skip
_REVISION_LETTERS = 12


class Command(BaseCommand):
    help = "List the encoders: which serves, how far the others are, and which could be brought in."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="For programs.")

    def handle(self, *args: Any, **options: Any) -> None:
        standings, available = switching.standings(), switching.without_row()
        if options["json"]:
            told = [*map(_told, standings), *map(_told_of_spec, available)]
            self.stdout.write(json.dumps(told, indent=2))
            return
        self.stdout.write(_table([_HEADINGS, *map(_line, standings), *map(_line_of_spec, available)]))
        for one in standings:
            if one.row.error:
                self.stdout.write(self.style.WARNING(f"{one.row}: {one.row.error}"))


def _told(one: Standing) -> dict[str, Any]:
    row = one.row
    return {
        "number": row.pk,
        "name": row.name,
        "state": one.state.value,
        "percent": one.percent,
        "embedded": row.embedded_count,
        "failed": row.failed_count,
        "pending": one.pending,
        "size_bytes": one.size_bytes,
        "index": {"kind": one.build.kind, "recall": one.build.recall} if one.build else None,
        "images_per_s": row.images_per_s,
        "seconds_left": one.time_left.total_seconds() if one.time_left is not None else None,
        "dtype": row.dtype,
        "dimensions": row.dimensions,
        "revision": row.revision,
        "preprocessing": row.preprocessing,
        "activated": row.activated.isoformat() if row.activated else None,
        "error": row.error,
    }


def _told_of_spec(spec: EncoderSpec) -> dict[str, Any]:
    return {
        "number": None,
        "name": spec.name,
        "state": State.AVAILABLE.value,
        "dimensions": spec.dimensions,
        "revision": spec.revision,
        "preprocessing": spec.preprocessing,
    }


def _line(one: Standing) -> Sequence[str]:
    row, build = one.row, one.build
    return (
        str(row.pk),
        row.name,
        one.told,
        f"{row.embedded_count:,}",
        f"{row.failed_count:,}",
        f"{one.pending:,}",
        filesizeformat(one.size_bytes).replace("\xa0", " "),
        build.kind if build else "none",
        "-" if build is None or build.recall is None else f"{build.recall:.3f}",
        "-" if row.images_per_s is None else f"{row.images_per_s:.1f}",
        row.dtype or "-",
        row.revision[:_REVISION_LETTERS],
    )


def _line_of_spec(spec: EncoderSpec) -> Sequence[str]:
    unknown = ["-"] * (len(_HEADINGS) - 4)
    return ("-", spec.name, str(State.AVAILABLE.label), *unknown, spec.revision[:_REVISION_LETTERS])


def _table(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)
