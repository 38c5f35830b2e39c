"""A report as a PDF: a contact sheet on A4, a row for each picture with what looks most like it."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from io import BytesIO
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import IO, Any, cast
from xml.sax.saxutils import escape

from django.utils.text import Truncator
from PIL import Image as Pictures
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table

from gallery.models import Asset
from gallery.reasons import retold
from gallery.storage import StorageUnavailable
from search.calibration import in_words
from search.report_making import HITS_SHOWN
from search.report_sections import Matched, Section

_MARGIN, _GAP = 12 * mm, 2 * mm
_PADDING = 6  # points, within the frame of a page, as reportlab makes it
_QUERY, _WORDS, _HIT = 28 * mm, 36 * mm, 18 * mm
#: 200 dots an inch; more is not seen on paper, and a thousand pictures make a large file.
_QUERY_PX, _HIT_PX = 240, 144
_QUALITY = 80
#: A bucket gives many pictures in the time of one.
_READ_AT_ONCE = 8
#: Of names and titles, which may have hundreds.
_NAME_LETTERS, _TITLE_LETTERS = 90, 36
_QUIET, _LINE, _EMPTY = HexColor("#555555"), HexColor("#cccccc"), HexColor("#eeeeee")

#: Latin, Greek and Cyrillic letters are embedded. Chinese ones would be megabytes, and are those of whoever reads it.
_FONT, _BOLD, _CHINESE = "DejaVuSans", "DejaVuSans-Bold", "STSong-Light"


def write(out: IO[bytes], title: str, told: Sequence[str], sections: Sequence[Section]) -> None:
    """`told` are lines below the title. Pictures that are not there any more are left blank.

    Raises StorageUnavailable.
    """
    _register_fonts()
    around = _MARGIN - _PADDING
    document = SimpleDocTemplate(
        out, pagesize=A4, title=title, author="AssetSearch",
        leftMargin=around, rightMargin=around, topMargin=around, bottomMargin=around,
    )  # fmt: skip
    head = [_paragraph(title, _style(14, bold=True)), *(_paragraph(line, _style(8, color=_QUIET)) for line in told)]
    with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
        made = _Made(pool)
        rows = [_row(section, made) for section in sections]
        try:
            document.build([*head, Spacer(0, 4 * mm), *rows], onFirstPage=_number, onLaterPages=_number)
        finally:
            pool.shutdown(cancel_futures=True)


def _number(canvas: Any, document: Any) -> None:
    canvas.setFont(_FONT, 7)
    canvas.setFillColor(_QUIET)
    canvas.drawRightString(A4[0] - _MARGIN, _MARGIN / 2, str(document.page))


def _row(section: Section, made: "_Made") -> Table:
    """A table by itself, which is not divided among pages."""
    entry = section.entry
    told = section.verdict_in_words + (f": {retold(entry.detail)}" if entry.detail else "")
    words = [_named(entry.name, _NAME_LETTERS, _style(7, bold=True)), _paragraph(told, _style(7))]
    if best := section.best:
        words.append(_paragraph(_closeness(best), _style(7, color=_QUIET)))
    picture = _Picture(made.small(lambda: BytesIO(bytes(entry.thumbnail or b"")), _QUERY_PX), _QUERY)
    hits = [_hit(match, made) for match in section.matches]
    cells = [picture, words, *hits, *[""] * (HITS_SHOWN - len(hits))]
    return Table(
        [cells],
        colWidths=[_QUERY + _GAP, _WORDS, *[_HIT + _GAP] * HITS_SHOWN],
        style=[
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LINEABOVE", (0, 0), (-1, 0), 0.5, _LINE),
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("RIGHTPADDING", (0, 0), (-1, -1), _GAP),
            ("TOPPADDING", (0, 0), (-1, -1), _GAP),
            ("BOTTOMPADDING", (0, 0), (-1, -1), _GAP),
        ],
    )


def _hit(match: Matched, made: "_Made") -> list[Flowable]:
    asset, similarity = match.hit.asset, f"{match.hit.similarity:.3f}"
    picture = _Picture(made.of(asset), _HIT)
    return [picture, _paragraph(similarity, _style(6)), _named(asset.title, _TITLE_LETTERS, _style(6, color=_QUIET))]


def _closeness(match: Matched) -> str:
    similarity, closer = f"{match.hit.similarity:.3f}", match.hit.closer_than
    return similarity if closer is None else f"{similarity}, {in_words(closer)}"


# --- pictures -------------------------------------------------------------------------------------------------


class _Made:
    """Pictures as small as they are drawn, JPEG; some are made at once, and each asset's once."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool, self._of = pool, dict[int, Future[bytes]]()

    def of(self, asset: Asset) -> Future[bytes]:
        if asset.pk not in self._of:
            self._of[asset.pk] = self.small(lambda: asset.thumbnail.open("rb"), _HIT_PX)
        return self._of[asset.pk]

    def small(self, opened: Callable[[], IO[bytes]], side_px: int) -> Future[bytes]:
        return self._pool.submit(_small, opened, side_px)


def _small(opened: Callable[[], IO[bytes]], side_px: int) -> bytes:
    """Raises OSError."""
    small = BytesIO()
    with opened() as file, Pictures.open(file) as picture:
        scale = side_px / max(picture.size)
        width, height = (ceil(length * scale) for length in picture.size)
        picture.draft("RGB", (width, height))  # decoded no larger than need be
        picture.thumbnail((side_px, side_px), Pictures.Resampling.BILINEAR)
        picture.convert("RGB").save(small, "JPEG", quality=_QUALITY)
    return small.getvalue()


class _Picture(Flowable):
    """In the middle of a square that is blank where there is none."""

    def __init__(self, small: Future[bytes], side: float) -> None:
        super().__init__()
        self.width = self.height = side
        self._small = small

    def draw(self) -> None:
        side = self.width
        self.canv.setFillColor(_EMPTY)
        self.canv.rect(0, 0, side, side, stroke=0, fill=1)
        try:
            picture = ImageReader(BytesIO(self._small.result()))
        except StorageUnavailable:
            raise
        except OSError:  # it is not there any more, or no picture
            return
        scale = side / max(picture.getSize())
        width, height = (length * scale for length in picture.getSize())
        self.canv.drawImage(picture, (side - width) / 2, (side - height) / 2, width, height)


# --- words ----------------------------------------------------------------------------------------------------


@cache
def _register_fonts() -> None:
    from matplotlib import get_data_path

    for name in (_FONT, _BOLD):
        pdfmetrics.registerFont(TTFont(name, Path(get_data_path(), "fonts/ttf", f"{name}.ttf")))
    pdfmetrics.registerFont(UnicodeCIDFont(_CHINESE))


@cache
def _style(points: int, *, bold: bool = False, color: Color | None = None) -> ParagraphStyle:
    return ParagraphStyle(
        f"{points}{bold}{color}",
        fontName=_BOLD if bold else _FONT,
        fontSize=points,
        leading=1.3 * points,
        textColor=color or HexColor("#111111"),
    )


def _named(name: str, letters: int, style: ParagraphStyle) -> Paragraph:
    return _paragraph(Truncator(name).chars(letters), style)


def _paragraph(text: str, style: ParagraphStyle) -> Paragraph:
    return Paragraph("".join(_marked(text, style.fontName)), style)


def _marked(text: str, font: str) -> Iterator[str]:
    """Runs of letters, in the font that has them."""
    known = cast("Any", pdfmetrics.getFont(font)).face.charToGlyph
    for is_known, letters in groupby(text, lambda letter: ord(letter) in known):
        run = escape("".join(letters))
        yield run if is_known else f'<font name="{_CHINESE}">{run}</font>'
