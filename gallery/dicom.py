"""DICOM for Pillow: the first frame of a scan, as its window shows it. Imported only where pictures are decoded.

Of a file's tags it reads those that say how samples become a picture, and none that say whose picture it is.
"""

import logging
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, Any

import numpy as np
from django.utils.translation import gettext_noop as _
from numpy.typing import NDArray
from PIL import Image, ImageFile
from pydicom import Dataset, config, dcmread
from pydicom.filereader import read_file_meta_info
from pydicom.multival import MultiValue
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, JPEG2000TransferSyntaxes, JPEGExtended12Bit

from gallery.errors import Code, Refused

#: Before it, 128 bytes of anything (PS3.10, 7.1).
_MAGIC, _MAGIC_AT = b"DICM", 128
#: Of the element that tells how long the rest of the file's first part is (PS3.10, 7.1).
_GROUP_LENGTH_BYTES = 12
#: A hundred megapixels of three channels, sixteen bits each.
_MOST_INFLATED_BYTES = 600_000_000
_PALETTES = [
    f"{colour}PaletteColorLookupTable{part}" for colour in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")
] + [f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")]
_TAGS = [
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored",
    "PixelRepresentation", "PlanarConfiguration", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", *_PALETTES,
]  # fmt: skip
_SAMPLES = ["PixelData", "FloatPixelData", "DoubleFloatPixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"]

config.settings.reading_validation_mode = config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its warnings quote values, names of patients among them

Samples = NDArray[Any]
Bytes = NDArray[np.uint8]


class DicomImageFile(ImageFile.ImageFile):
    format = "DICOM"
    format_description = "DICOM"

    n_frames: int
    _header: Dataset
    _samples_at: int

    def _open(self) -> None:
        assert self.fp is not None  # noqa: S101 (Pillow's own type says that it may be, before and after)
        if self.fp.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] != _MAGIC:
            raise SyntaxError("no DICOM")
        try:
            self._header = _read_header(self.fp)
            self._samples_at = self.fp.tell()
            self._size = (int(self._header.Columns), int(self._header.Rows))
            self._mode = "L" if self._header.SamplesPerPixel == 1 else "RGB"
            self.n_frames = int(self._header.get("NumberOfFrames") or 1)
        except (Refused, MemoryError):
            raise
        except Exception as error:  # Pillow would take most kinds to mean that this is no DICOM
            raise OSError(f"broken DICOM header: {error}") from error

    def load(self) -> Any:
        if self._im is None:
            assert self.fp is not None  # noqa: S101 (see above)
            _check_is_complete(self._header, os.fstat(self.fp.fileno()).st_size - self._samples_at)
            with _no_larger_inside(self.width * self.height):
                samples = _first_frame(self.fp)
            shown = Image.fromarray(_shown(samples, self._header))
            self._mode, self.im = shown.mode, shown.im
        return super().load()


def _read_header(file: IO[bytes]) -> Dataset:
    meta = read_file_meta_info(file.name)
    if meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        _check_inflates_to_little(file, behind=int(meta.FileMetaInformationGroupLength))
    file.seek(0)
    header = dcmread(file, stop_before_pixels=True, specific_tags=_TAGS)
    if "Rows" not in header or "Columns" not in header:
        raise Refused(Code.UNSUPPORTED_TYPE, _("This DICOM file holds no picture."))
    _check_can_be_decompressed(header)
    return header


def _check_inflates_to_little(file: IO[bytes], *, behind: int) -> None:
    """zlib makes a thousand times as much of a file, and pydicom asks for all of it at once."""
    file.seek(_MAGIC_AT + len(_MAGIC) + _GROUP_LENGTH_BYTES + behind)
    inflating, inflated = zlib.decompressobj(-zlib.MAX_WBITS), 0
    for chunk in iter(partial(file.read, 1 << 16), b""):
        inflated += len(inflating.decompress(chunk))
        if inflated > _MOST_INFLATED_BYTES:
            raise Refused(Code.DECODE_MEMORY, _("Decoding the picture takes too much memory."))


def _check_can_be_decompressed(header: Dataset) -> None:
    syntax = header.file_meta.TransferSyntaxUID
    if not _can_be_decompressed(syntax, bits=header.BitsStored, channels=header.SamplesPerPixel):
        # a name that pydicom knows; what it does not know is the file's own text
        name = syntax.name if syntax.type == "Transfer Syntax" else "unknown"
        raise Refused(
            Code.UNSUPPORTED_TYPE,
            _("This DICOM file is compressed in a way that cannot be read here (%(name)s). Send it uncompressed."),
            {"name": name},
        )


def _can_be_decompressed(syntax: UID, *, bits: int, channels: int) -> bool:
    """Whether the decoders that there are know it; Pillow's know eight bits alone in some cases."""
    if bits > 8 and (syntax == JPEGExtended12Bit or (syntax in JPEG2000TransferSyntaxes and channels > 1)):  # noqa: PLR2004
        return False
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def _check_is_complete(header: Dataset, bytes_left: int) -> None:
    syntax = header.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated or syntax.is_deflated:
        return  # what is left then tells nothing; a decoder misses what is missing
    bits = int(header.get("NumberOfFrames") or 1) * header.Rows * header.Columns
    bits *= header.SamplesPerPixel * header.BitsAllocated
    if header.PhotometricInterpretation == "YBR_FULL_422":
        bits = bits * 2 // 3  # two pixels share their colours
    if bytes_left < bits // 8:
        raise OSError("truncated DICOM")


@contextmanager
def _no_larger_inside(pixels: int) -> Iterator[None]:
    """Holds a JPEG inside, which tells a size of its own, to the size in the header."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, pixels
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _first_frame(file: IO[bytes]) -> Samples:
    """Samples as stored, (rows, columns) or (rows, columns, 3); YCbCr as RGB."""
    file.seek(0)
    return pixel_array(dcmread(file, specific_tags=[*_TAGS, *_SAMPLES]), index=0)


def _shown(samples: Samples, header: Dataset) -> Bytes:
    """What a viewer shows: eight bits a channel."""
    if header.PhotometricInterpretation == "PALETTE COLOR":
        coloured = apply_color_lut(samples, header)
        return _of_bits(coloured, coloured.dtype.itemsize * 8)
    if samples.ndim > 2:  # noqa: PLR2004 (rows, columns and colours)
        return _of_bits(samples, int(header.BitsStored))
    grey = _to_bytes(_of_window(_rescaled(samples, header), header))
    return np.subtract(255, grey, out=grey) if header.PhotometricInterpretation == "MONOCHROME1" else grey


def _of_bits(samples: Samples, bits: int) -> Bytes:
    """Samples of so many bits over their whole range."""
    if bits == 8:  # noqa: PLR2004 (bits of a byte)
        return samples.astype(np.uint8)
    return _to_bytes(samples.astype(np.float32) / (2**bits - 1))


def _to_bytes(levels: NDArray[np.float32]) -> Bytes:
    """From [0, 1] to 0 to 255, in place: a large scan takes 400 MB as floats."""
    np.clip(levels, 0, 1, out=levels)
    levels *= 255
    return np.rint(levels, out=levels).astype(np.uint8)


def _rescaled(samples: Samples, header: Dataset) -> NDArray[np.float32]:
    """What the samples measure, as Hounsfield units (PS3.3, C.11.1)."""
    if header.get("ModalityLUTSequence"):
        measured: NDArray[np.float32] = apply_modality_lut(samples, header).astype(np.float32)
        return measured
    slope = _told(header, "PixelValueTransformationSequence", "RescaleSlope")
    intercept = _told(header, "PixelValueTransformationSequence", "RescaleIntercept")
    values = samples.astype(np.float32)
    values *= 1 if slope is None else slope
    values += 0 if intercept is None else intercept
    return values


def _of_window(values: NDArray[np.float32], header: Dataset) -> NDArray[np.float32]:
    """Levels, of which [0, 1] is shown: by the file's own table or window (PS3.3, C.11.2), else the full range."""
    if header.get("VOILUTSequence"):
        bits = int(header.VOILUTSequence[0].LUTDescriptor[2])
        levels: NDArray[np.float32] = apply_voi(values.astype(np.int32), header).astype(np.float32)
        levels /= 2**bits - 1
        return levels
    centre = _told(header, "FrameVOILUTSequence", "WindowCenter")
    width = _told(header, "FrameVOILUTSequence", "WindowWidth")
    if centre is None or width is None or width <= 0:
        return _of_full_range(values)
    match header.get("VOILUTFunction"):
        case "SIGMOID":
            values -= centre
            values *= -4 / width
            np.exp(values, out=values)
            values += 1
            return np.reciprocal(values, out=values)
        case "LINEAR_EXACT":
            values -= centre - width / 2
        case _:
            values -= centre - 0.5 - (width - 1) / 2
            width = max(width - 1, 1e-6)  # of width 1, all below the centre is black and the rest white
    values /= width
    return values


def _of_full_range(values: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = float(values.min()), float(values.max())
    values -= low
    values /= high - low or 1
    return values


def _told(header: Dataset, group: str, keyword: str) -> float | None:
    """A number for the first frame: its own, else that of all frames, else that of the file as a whole."""
    for sequence in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        frames = header.get(sequence)
        items = frames[0].get(group) if frames else None
        if items and keyword in items[0]:
            return _number(items[0][keyword].value)
    return _number(header.get(keyword))


def _number(value: Any) -> float | None:
    first = value[0] if isinstance(value, MultiValue) and value else value
    return None if first in (None, "") else float(first)


Image.register_open(DicomImageFile.format, DicomImageFile)
