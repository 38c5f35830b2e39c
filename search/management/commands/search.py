import csv
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.files import File
from django.core.management.base import BaseCommand, CommandError

from gallery.errors import Refused
from search import contact_sheet, query
from search.answers import Answer, Hit
from search.contact_sheet import Tile
from search.pictures import Picture, open_picture
from search.query import DEFAULT_K, MAX_K, Part, Wanted

#: Pictures that are encoded together.
_AT_ONCE = 16
_COLUMNS = ("query", "rank", "similarity", "id", "title", "filename")
#: A picture is scaled down while it is decoded, to no less than this: a tile of a contact sheet is smaller.
_SHORTER_SIDE_PX = 176


def hit_count(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= MAX_K):
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to {MAX_K}")
    return int(text)


class Command(BaseCommand):
    help = (
        "Find what looks like pictures, which are not stored. "
        "Exit status: 0 if every picture could be searched with, 1 if some could not."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
        parser.add_argument("--k", type=hit_count, default=DEFAULT_K, help=f"Hits for each (default: {DEFAULT_K}).")
        parser.add_argument("--csv", type=Path, metavar="FILE", help="Write a line for each hit; - for the terminal.")
        parser.add_argument("--contact-sheet", type=Path, metavar="PNG", help="Write a picture of queries and hits.")

    def handle(self, *args: Any, images: list[Path], **options: Any) -> None:
        for path in filter(None, (options["csv"], options["contact_sheet"])):
            if not path.parent.is_dir():
                raise CommandError(f"{path.parent} is not a folder to write into.")
        answers = list(self._answers(images, Wanted(k=options["k"])))
        if options["csv"] != Path("-"):
            self._tell(answers)
        if options["csv"]:
            self._write_csv(answers, options["csv"])
        if options["contact_sheet"]:
            contact_sheet.draw([_row(path, answer) for path, answer in answers]).save(options["contact_sheet"], "PNG")
        if len(answers) < len(images):
            sys.exit(1)

    def _answers(self, paths: Sequence[Path], wanted: Wanted) -> Iterator[tuple[Path, Answer]]:
        for start in range(0, len(paths), _AT_ONCE):
            some = paths[start : start + _AT_ONCE]
            try:
                yield from zip(some, _answered(some, wanted), strict=True)
            except (Refused, OSError):  # one of them; the others are searched with all the same
                yield from self._one_by_one(some, wanted)

    def _one_by_one(self, paths: Sequence[Path], wanted: Wanted) -> Iterator[tuple[Path, Answer]]:
        for path in paths:
            try:
                [answer] = _answered([path], wanted)
                yield path, answer
            except Refused as refused:
                self.stderr.write(f"{path}: {refused.detail}")
            except OSError as error:
                self.stderr.write(f"{path}: {error.strerror}")

    def _tell(self, answers: Iterable[tuple[Path, Answer]]) -> None:
        for path, answer in answers:
            found = "exact" if answer.search.exact else f"{answer.search.index}, recall {answer.search.recall:.3f}"
            self.stdout.write(f"{path}  ({answer.encoder}; {found})")
            for hit in answer.results:
                self.stdout.write(f"{hit.rank:5}  {hit.similarity:6.3f}  {hit.asset.filename}  (asset {hit.asset.pk})")
            if not answer.results:
                self.stdout.write("       nothing; no asset has been analysed yet")

    def _write_csv(self, answers: Iterable[tuple[Path, Answer]], path: Path) -> None:
        if path == Path("-"):
            _write_lines(self.stdout, answers)
            return
        with path.open("w", encoding="utf-8", newline="") as file:
            _write_lines(file, answers)


def _answered(paths: Sequence[Path], wanted: Wanted) -> list[Answer]:
    """Raises Refused, OSError."""
    with ExitStack() as opened:
        files = [File(opened.enter_context(path.open("rb")), path.name) for path in paths]
        return query.like_each([Part(Picture(file)) for file in files], wanted)


def _write_lines(file: Any, answers: Iterable[tuple[Path, Answer]]) -> None:
    writer = csv.writer(file)
    writer.writerow(_COLUMNS)
    for path, answer in answers:
        for hit in answer.results:
            told = (path, hit.rank, f"{hit.similarity:.6f}", hit.asset.pk, hit.asset.title, hit.asset.filename)
            writer.writerow(told)


def _row(path: Path, answer: Answer) -> list[Tile]:
    with path.open("rb") as file:
        asked = open_picture(Picture(File(file, path.name)), _SHORTER_SIDE_PX)
    return [Tile(asked, path.name, contact_sheet.QUERY), *map(_tile, answer.results)]


def _tile(hit: Hit) -> Tile:
    try:
        image = open_picture(Picture(hit.asset), _SHORTER_SIDE_PX)
    except Refused:
        image = None  # its files are gone; the hit stands all the same
    return Tile(image, f"{hit.rank}: {hit.similarity:.3f} {hit.asset.title}")
