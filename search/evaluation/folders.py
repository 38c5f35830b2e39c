"""Unit vectors of picture files that are not imported.

A file goes the way that an upload and a stored asset go: decoded in a child process, made a preview, opened from that.
A vector travels with what it was made of; nothing is ever matched by position with what was left out.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from django.conf import settings
from django.core.files import File
from django.utils.translation import gettext_noop as _
from numpy.typing import NDArray
from PIL import Image

from gallery import sandbox
from gallery.errors import Code, Refused
from gallery.images import open_rendition
from search import vectors
from search.encoders import ImageEncoder
from search.evaluation.layouts import Box, Part, View
from search.pictures import Picture, Region, open_picture
from search.vectors import FloatArray

logger = logging.getLogger(__name__)

#: Batches decoded ahead of the one that is being encoded.
_AHEAD = 2

#: Told how many more are done, as tqdm's `update` is.
Progress = Callable[[int], object]
_Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Embedded:
    """A unit vector, (dimensions,) float32, or the reason why there is none, of all that was asked for."""

    vectors: dict[View, FloatArray] = field(default_factory=dict)
    failures: dict[View, Refused] = field(default_factory=dict)


@dataclass(frozen=True)
class _Prepared:
    view: View
    pixels: _Pixels | Refused


def embed_files(views: Iterable[View], encoder: ImageEncoder, *, progress: Progress | None = None) -> Embedded:
    """Embed files, and parts of files, once each. What cannot be read is among the failures and stops nothing.

    Raises what the encoder raises where it takes none of several pictures, or not the first one.
    """
    made, waiting = Embedded(), iter(dict.fromkeys(views))
    under_way: deque[Future[_Prepared]] = deque()
    pool = ThreadPoolExecutor(settings.DECODE_PROCESSES)
    try:
        while True:
            for view in islice(waiting, (1 + _AHEAD) * encoder.batch_size - len(under_way)):
                under_way.append(pool.submit(_prepare, view, encoder))
            if not under_way:
                return made
            batch = [under_way.popleft().result() for _ in range(min(encoder.batch_size, len(under_way)))]
            _add(made, batch, encoder)
            if progress:
                progress(len(batch))
    finally:
        pool.shutdown(cancel_futures=True)  # who interrupts does not wait for what was to come


def open_view(view: View, *, shorter_side_px: int) -> Image.Image:
    """A file or a part of it: upright, RGB, scaled down while decoding but not below the side asked for.

    Raises Refused.
    """
    try:
        return _open_part(view, shorter_side_px) if isinstance(view, Part) else _open_file(view, shorter_side_px)
    except OSError as error:
        raise Refused(
            Code.CORRUPT, _("The file cannot be read: %(error)s."), {"error": str(error.strerror or error)}
        ) from None


def encode_images(images: Sequence[Image.Image], encoder: ImageEncoder) -> FloatArray:
    """(n, dimensions) float32, unit rows, of upright RGB pictures; as many at once as the encoder likes best."""
    size = encoder.batch_size
    batches = [images[start : start + size] for start in range(0, len(images), size)]
    prepared = (np.stack([encoder.prepare(image) for image in batch]) for batch in batches)
    return np.concatenate([vectors.unit(encoder.encode(pixels)) for pixels in prepared])


def _open_file(path: Path, shorter_side_px: int) -> Image.Image:
    path.open("rb").close()  # a decoder calls all that goes wrong damage; what is missing is told apart here
    return open_rendition(sandbox.render_file_preview(path), shorter_side_px=shorter_side_px)


def _open_part(part: Part, shorter_side_px: int) -> Image.Image:
    """Decoded twice, as what a box is a part of must be known first; there are few of these to a folder."""
    with part.path.open("rb") as opened:
        rendered = sandbox.render_file(part.path)
        region = _region(part.box, rendered.width, rendered.height)
        return open_picture(Picture(File(opened, part.path.name), region), shorter_side_px)


def _region(box: Box, width: int, height: int) -> Region:
    """What of the box lies in the picture: published ones reach beyond the edge by a pixel."""
    left, right = (min(max(edge / width, 0.0), 1.0) for edge in (box.left, box.right))
    top, bottom = (min(max(edge / height, 0.0), 1.0) for edge in (box.top, box.bottom))
    return Region(left, top, right - left, bottom - top)


def _prepare(view: View, encoder: ImageEncoder) -> _Prepared:
    try:
        return _Prepared(view, encoder.prepare(open_view(view, shorter_side_px=encoder.decode_side_px)))
    except Refused as refused:
        return _Prepared(view, refused)
    except Exception as error:  # one bad file must not stop the others
        logger.warning("%s cannot be prepared: %s", view, error)
        return _Prepared(
            view, Refused(Code.CORRUPT, _("The picture cannot be prepared: %(error)s"), {"error": str(error)})
        )


def _add(made: Embedded, batch: Sequence[_Prepared], encoder: ImageEncoder) -> None:
    made.failures.update({item.view: item.pixels for item in batch if isinstance(item.pixels, Refused)})
    readable = {item.view: item.pixels for item in batch if not isinstance(item.pixels, Refused)}
    try:
        made.vectors.update(_encoded(readable, encoder))
    except Exception as error:
        if len(readable) == 1 and not made.vectors:
            raise
        _add_singly(made, readable, encoder, error)


def _add_singly(made: Embedded, readable: dict[View, _Pixels], encoder: ImageEncoder, error: Exception) -> None:
    """The others must not fail with the one. Where none of several comes out well, the encoder is at fault."""
    refused: dict[View, Refused] = {}
    for view, pixels in readable.items():
        try:
            made.vectors.update(_encoded({view: pixels}, encoder))
        except Exception as alone:
            refused[view] = Refused(Code.INTERNAL, _("The encoder failed: %(error)s"), {"error": str(alone)})
    if len(refused) == len(readable) > 1:
        raise error
    made.failures.update(refused)


def _encoded(readable: dict[View, _Pixels], encoder: ImageEncoder) -> dict[View, FloatArray]:
    if not readable:
        return {}
    encoded = vectors.unit(encoder.encode(np.stack([*readable.values()])))
    return dict(zip(readable, encoded, strict=True))
