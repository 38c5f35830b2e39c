"""Files that were made to break what reads them, each with the code that it is refused with."""

import random
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image
from pydicom import Dataset, Sequence
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from gallery.errors import Code
from gallery.images import load_decoders
from tests.conftest import drawn, encoded
from tests.gallery.dicom_files import scan

SIDE, LIE = 64, 60_000
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF", "JPEG2000"]


def refused_files() -> Iterator[tuple[str, bytes, Code]]:
    """Name, bytes, and the code expected."""
    load_decoders()
    for part in (_headers_that_lie, _many_frames, _cut_off, _scans):
        for name, data, code in part():
            yield f"{part.__name__[1:]}-{name}", data, code


def mutants(each: int) -> Iterator[tuple[str, bytes]]:
    """Pictures of every format with a few bytes changed, removed or repeated; the same ones each time."""
    load_decoders()
    bases = {"DICOM": _scan(), **{name: _picture(name) for name in FORMATS}}
    for name, base in bases.items():
        for number in range(each):
            yield f"{name}-{number}", _mutated(base, random.Random(f"{name} {number}"))


def _mutated(base: bytes, chance: random.Random) -> bytes:
    data = bytearray(base)
    for _ in range(chance.randint(1, 8)):
        # headers are short, and most of what can go wrong is in them
        at = chance.randrange(min(len(data), 600) if chance.random() < 0.7 else len(data))
        match chance.randrange(4):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                data[at : at + 4] = chance.choice([b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff"])
            case 2:
                del data[at : at + chance.randint(1, 40)]
            case _:
                data[at:at] = data[at : at + chance.randint(1, 40)]
    return bytes(data)


def _picture(format: str, size: tuple[int, int] = (SIDE, SIDE)) -> bytes:
    return encoded(drawn(1, size), format)


def _scan() -> bytes:
    return scan(np.asarray(drawn(1, (SIDE, SIDE)).convert("L")))


def _changed(data: bytes, before: bytes, after: bytes) -> bytes:
    assert before in data
    return data.replace(before, after)


# --- more pixels than there are --------------------------------------------------------------------------------


def _headers_that_lie() -> Iterator[tuple[str, bytes, Code]]:
    small, large = struct.pack(">II", SIDE, SIDE), struct.pack(">II", LIE, LIE)
    short = struct.pack(">HH", SIDE, SIDE), struct.pack(">HH", LIE, LIE)
    too_many = Code.TOO_MANY_PIXELS
    yield "jpeg", _changed(_picture("JPEG"), *short), too_many
    yield "png", _png_header(LIE, LIE), too_many
    yield "gif", _picture("GIF")[:6] + struct.pack("<HH", LIE, LIE) + _picture("GIF")[10:], too_many
    yield "bmp", _picture("BMP")[:18] + struct.pack("<ii", LIE, LIE) + _picture("BMP")[26:], too_many
    yield "tiff", _tiff_with_side(LIE), too_many
    yield "webp", _animated_webp(7_500, frames=1), too_many
    yield "webp-too-large-for-memory", _animated_webp(16_384, frames=1), Code.CORRUPT
    told = b"ispe" + bytes(4)
    beyond = _changed(_picture("AVIF"), told + small, told + large)
    yield "avif", _changed(beyond, large, struct.pack(">II", 16_384, 8_192)), too_many
    yield "avif-beyond-its-own-limits", beyond, Code.UNSUPPORTED_TYPE
    yield "heif", _changed(_picture("HEIF"), told + small, told + large), too_many
    wide = _picture("HEIF", (512, 512))
    yield "heif-larger-inside", _changed(wide, told + struct.pack(">II", 512, 512), told + small), Code.CORRUPT
    jp2 = _picture("JPEG2000")
    yield "jp2", _changed(jp2, b"ihdr" + small, b"ihdr" + large), too_many
    # its box says 64 x 64, and the stream inside 60,000 x 60,000
    at = jp2.index(b"\xff\x4f\xff\x51") + 8
    yield "jp2-inside", jp2[:at] + large + jp2[at + 8 :], Code.CORRUPT
    raw = encoded(drawn(1, (SIDE, SIDE)), "JPEG2000", no_jp2=True)
    yield "j2k", raw[:8] + large + raw[16:], too_many


def _png_header(width: int, height: int, *chunks: bytes) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + struct.pack(">I", 8) + b"IDAT"


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _tiff_with_side(side: int) -> bytes:
    data = _picture("TIFF")
    for tag in (256, 257):
        data = _changed(data, *(struct.pack("<HHII", tag, 4, 1, value) for value in (SIDE, side)))
    return data


# --- more frames than anybody looks at --------------------------------------------------------------------------


def _many_frames() -> Iterator[tuple[str, bytes, Code]]:
    too_many = Code.TOO_MANY_FRAMES
    frame = bytes.fromhex("2c 00000000 0100 0100 00 02 02 44 01 00")
    gif = b"GIF89a" + struct.pack("<HH", 600, 600) + bytes.fromhex("80 00 00 808080 ffffff")
    yield "gif", gif + frame * 3_000 + b";", too_many
    yield "webp", _animated_webp(4_000, frames=100), too_many
    yield "apng", _png_header(500, 500, _chunk(b"acTL", struct.pack(">II", 1_000_000, 0))), too_many
    page = Image.new("1", (5_000, 5_000))
    yield "tiff", encoded(page, "TIFF", compression="group4", save_all=True, append_images=[page] * 41), too_many


def _animated_webp(side: int, *, frames: int) -> bytes:
    """The same frame of one pixel over and over, in a large canvas."""
    pixel = encoded(Image.new("RGB", (1, 1)), "WEBP", lossless=True)[12:]
    told = (side - 1).to_bytes(3, "little") * 2
    frame = bytes(6) + bytes(6) + (40).to_bytes(3, "little") + b"\0" + pixel
    chunks = b"VP8X" + struct.pack("<I", 10) + b"\2" + bytes(3) + told
    chunks += b"ANIM" + struct.pack("<I", 6) + bytes(6)
    chunks += (b"ANMF" + struct.pack("<I", len(frame)) + frame) * frames
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


# --- less than there should be ----------------------------------------------------------------------------------


def _cut_off() -> Iterator[tuple[str, bytes, Code]]:
    # their decoders tell one kind of damage from another no better than this
    whole = {"AVIF": Code.UNSUPPORTED_TYPE, "HEIF": Code.CORRUPT, "JPEG2000": Code.CORRUPT, "WEBP": Code.CORRUPT}
    begun = {"JPEG": Code.CORRUPT, "JPEG2000": Code.CORRUPT}
    for name in FORMATS:
        data = _picture(name, (200, 200))
        yield name, data[: len(data) * 2 // 3], whole.get(name, Code.TRUNCATED)
        yield f"{name}-first-bytes", data[:12], begun.get(name, Code.UNSUPPORTED_TYPE)


# --- scans ------------------------------------------------------------------------------------------------------


def _scans() -> Iterator[tuple[str, bytes, Code]]:
    samples = np.zeros((SIDE, SIDE), np.uint16)
    jpeg = encapsulate([encoded(Image.new("L", (4_000, 4_000)), "JPEG")])
    nested = Dataset()
    for _ in range(200):
        outer = Dataset()
        outer.SharedFunctionalGroupsSequence = Sequence([nested])
        nested = outer
    yield "large", scan(samples, Rows=65_535, Columns=65_535), Code.TOO_MANY_PIXELS
    yield "frames", scan(samples, NumberOfFrames=1_000_000), Code.TOO_MANY_FRAMES
    yield "frames-that-are-missing", scan(samples, NumberOfFrames=3), Code.TRUNCATED
    yield "frames-below-none", scan(samples, NumberOfFrames=-5), Code.CORRUPT
    yield "cut-off", scan(samples)[:-200], Code.TRUNCATED
    yield "header-cut-off", scan(samples)[:180], Code.CORRUPT
    yield "no-samples", scan(samples, PixelData=b""), Code.TRUNCATED
    yield "odd-bits", scan(samples, BitsAllocated=7), Code.CORRUPT
    yield "no-channels", scan(samples, SamplesPerPixel=0), Code.CORRUPT
    yield "no-size", scan(samples, Rows=0), Code.UNSUPPORTED_TYPE
    yield "unknown-colours", scan(samples, PhotometricInterpretation="PALETTE COLOR"), Code.CORRUPT
    yield "larger-inside", scan(samples, syntax=JPEGBaseline8Bit, PixelData=jpeg), Code.CORRUPT
    yield "run-lengths", scan(samples, syntax=RLELossless, PixelData=encapsulate([b"\x81\0" * 100_000])), Code.CORRUPT
    yield "deflated", _inflating(scan(samples, syntax=DeflatedExplicitVRLittleEndian), 4_000), Code.DECODE_MEMORY
    yield "deflated-cut-off", scan(samples, syntax=DeflatedExplicitVRLittleEndian)[:-5], Code.TRUNCATED
    large = scan(samples, SharedFunctionalGroupsSequence=Sequence([nested]), Rows=65_535, Columns=65_535)
    yield "nested", large, Code.TOO_MANY_PIXELS


def _inflating(deflated: bytes, megabytes: int) -> bytes:
    """The header of a deflated file, and zeros that inflate to so much behind it."""
    (length,) = struct.unpack("<I", deflated[140:144])  # of what follows it, up to what is deflated (PS3.10, 7.1)
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    block = packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)  # such blocks follow each other
    return deflated[: 144 + length] + block * megabytes + packer.flush()
