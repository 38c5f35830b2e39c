"""ICC profiles, made from their parts (ICC.1:2022)."""

import struct
from collections.abc import Mapping

_D50 = (0.9642, 1.0, 0.8249)


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65_536)) for value in values)


def _xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(*values)


def _power(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def _profile(kind: bytes, space: bytes, connection: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    data = {b"desc": b"desc" + bytes(4) + struct.pack(">I", 2) + b"a" + bytes(79), b"wtpt": _xyz(*_D50), **tags}
    table, body, start = b"", b"", 128 + 4 + 12 * len(data)
    for name, value in data.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    header = struct.pack(">I4sI4s4s4s", start + len(body), b"lcms", 0x02400000, kind, space, connection)
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _fixed(*_D50) + bytes(48)
    return header + struct.pack(">I", len(data)) + table + body


def adobe_rgb() -> bytes:
    """Adobe RGB (1998), 4.3.1.1, its primaries adapted to D50."""
    primaries = {
        b"rXYZ": _xyz(0.60974, 0.31111, 0.01947),
        b"gXYZ": _xyz(0.20528, 0.62567, 0.06087),
        b"bXYZ": _xyz(0.14919, 0.06322, 0.74457),
    }
    return _profile(
        b"mntr", b"RGB ", b"XYZ ", primaries | dict.fromkeys([b"rTRC", b"gTRC", b"bTRC"], _power(2.19921875))
    )


def linear_grey() -> bytes:
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _power(1.0)})


def grey_ink() -> bytes:
    """Inks of which the first is a neutral grey of L* = 54, the last is black, and the others are not seen."""
    same = bytes(range(256))
    lightness = [0 if black else 54 if grey else 100 for grey in (0, 1) for _ in range(4) for black in (0, 1)]
    nodes = b"".join(bytes([round(level * 2.55), 128, 128]) for level in lightness)
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + same * 4 + nodes + same * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut})
