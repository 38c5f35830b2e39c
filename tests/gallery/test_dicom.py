"""What is shown of a scan, by values worked out by hand (DICOM PS3.3, C.7.6.3 and C.11)."""

import io

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image
from pydicom import Dataset, Sequence, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    RLELossless,
)

from gallery import images
from gallery.errors import Code, Refused
from gallery.uploads import store_upload
from tests.conftest import drawn, encoded
from tests.gallery.dicom_files import PATIENT, scan

#: Four levels in four wide stripes, which a JPEG keeps.
LEVELS = (0, 1000, 2000, 4000)


def stripes(levels=LEVELS, dtype=np.uint16):
    return np.repeat(np.array(levels, dtype), 16)[None].repeat(32, axis=0)


@pytest.fixture
def shown(tmp_path):
    """shown(data): the levels of the four stripes in the preview."""

    def make(data):
        path = tmp_path / "upload"
        path.write_bytes(data)
        preview = Image.open(io.BytesIO(images.render_preview(path, max_pixels=100_000_000)))
        return np.asarray(preview)[16, 8::16]

    return make


def assert_grey(levels, expected):
    np.testing.assert_allclose(levels, np.array(expected)[:, None].repeat(3, axis=1), atol=3)


def test_scan_without_a_window_shows_its_full_range(shown):
    assert_grey(shown(scan(stripes())), [0, 64, 128, 255])


def test_first_kind_of_monochrome_is_inverted(shown):
    assert_grey(shown(scan(stripes(), PhotometricInterpretation="MONOCHROME1")), [255, 191, 128, 0])


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (None, [0, 0, 128, 255]),  # (x - 1999.5) / 1999 + 0.5
        ("LINEAR", [0, 0, 128, 255]),
        ("LINEAR_EXACT", [0, 0, 128, 255]),
        ("SIGMOID", [5, 30, 128, 250]),  # 1 / (1 + exp(-4 (x - 2000) / 2000))
    ],
)
def test_window_is_applied(shown, function, expected):
    window = {"WindowCenter": 2000, "WindowWidth": 2000}
    data = scan(stripes(), **window, **({"VOILUTFunction": function} if function else {}))
    assert_grey(shown(data), expected)


def test_narrow_windows_are_told_apart_by_function(shown):
    """PS3.3, C.11.2.1.2: of width 2 around 1, LINEAR shows [0, 1] and LINEAR_EXACT [0, 2]."""
    data = stripes((0, 1, 2, 3))
    window = {"WindowCenter": 1, "WindowWidth": 2}
    assert_grey(shown(scan(data, **window)), [0, 255, 255, 255])
    assert_grey(shown(scan(data, **window, VOILUTFunction="LINEAR_EXACT")), [0, 128, 255, 255])


def test_first_of_several_windows_is_shown(shown):
    data = scan(stripes(), WindowCenter=[2000, 10], WindowWidth=[4001, 10])
    assert_grey(shown(data), [0, 64, 128, 255])


@pytest.mark.parametrize("width", [0, -5])
def test_window_without_width_is_passed_over(shown, width):
    assert_grey(shown(scan(stripes(), WindowCenter=10, WindowWidth=width)), [0, 64, 128, 255])


def test_samples_are_rescaled_before_the_window(shown):
    """As in CT: stored from 0, measured from -1000."""
    data = scan(stripes(), RescaleIntercept=-1000, RescaleSlope=2, WindowCenter=1000, WindowWidth=4001)
    assert_grey(shown(data), [0, 128, 255, 255])  # -1000, 1000, 3000 and 7000 in [-1000, 3000]


def test_signed_samples_keep_their_order(shown):
    assert_grey(shown(scan(stripes((-2000, -1000, 0, 2000), np.int16))), [0, 64, 128, 255])


def test_table_of_values_of_interest_is_applied(shown):
    table = Dataset()
    table.LUTDescriptor = [4001, 0, 16]
    table.LUTData = [65535 - round(level / 4000 * 65535) for level in range(4001)]
    table["LUTData"].VR = "US"
    assert_grey(shown(scan(stripes(), VOILUTSequence=Sequence([table]))), [255, 191, 128, 0])


@pytest.mark.parametrize("told_by", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"])
def test_window_and_scale_of_enhanced_scans_are_found(shown, told_by):
    window, scale, group = Dataset(), Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = 1000, 4001
    scale.RescaleIntercept, scale.RescaleSlope = -1000, 2
    group.FrameVOILUTSequence, group.PixelValueTransformationSequence = Sequence([window]), Sequence([scale])
    assert_grey(shown(scan(stripes(), **{told_by: Sequence([group])})), [0, 128, 255, 255])


def test_first_frame_is_shown(shown):
    frames = np.stack([stripes(), stripes()[:, ::-1]])
    data = scan(stripes(), NumberOfFrames=2, PixelData=frames.tobytes())
    assert_grey(shown(data), [0, 64, 128, 255])


COLOURS = np.array([[255, 0, 0], [0, 200, 0], [0, 0, 255], [90, 90, 90]], np.uint8)


def coloured(dtype=np.uint8):
    return (COLOURS.astype(dtype) * (257 if dtype is np.uint16 else 1)).repeat(16, axis=0)[None].repeat(32, axis=0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_are_kept(shown, dtype):
    np.testing.assert_allclose(shown(scan(coloured(dtype))), COLOURS, atol=6)


def test_colours_by_plane_are_kept(shown):
    data = scan(coloured(), PlanarConfiguration=1, PixelData=coloured().transpose(2, 0, 1).tobytes())
    np.testing.assert_allclose(shown(data), COLOURS, atol=6)


def test_luminance_and_chrominance_become_colours(shown):
    ybr = np.asarray(Image.fromarray(coloured()).convert("YCbCr"))
    np.testing.assert_allclose(shown(scan(ybr, PhotometricInterpretation="YBR_FULL")), COLOURS, atol=8)


@pytest.mark.parametrize("bits", [8, 16])
def test_palette_becomes_colours(shown, bits):
    tables = {}
    for name, channel in zip(("Red", "Green", "Blue"), COLOURS.T, strict=True):
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [4, 0, bits]
        levels = channel if bits == 8 else channel.astype(np.uint16) * 257
        tables[f"{name}PaletteColorLookupTableData"] = levels.tobytes()
    data = scan(stripes((0, 1, 2, 3), np.uint8), PhotometricInterpretation="PALETTE COLOR", **tables)
    np.testing.assert_allclose(shown(data), COLOURS, atol=6)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_transfer_syntaxes_give_the_same_picture(shown, syntax):
    samples = stripes().byteswap() if syntax == ExplicitVRBigEndian else stripes()
    assert_grey(shown(scan(stripes(), syntax=syntax, PixelData=samples.tobytes())), [0, 64, 128, 255])


def test_run_lengths_are_decoded(shown):
    dataset = dcmread(io.BytesIO(scan(stripes())))
    dataset.compress(RLELossless)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    assert_grey(shown(buffer.getvalue()), [0, 64, 128, 255])


@pytest.mark.parametrize(
    ("syntax", "format", "photometric"),
    [(JPEGBaseline8Bit, "JPEG", "YBR_FULL_422"), (JPEG2000Lossless, "JPEG2000", "RGB")],
)
def test_compressed_scans_are_decoded(shown, syntax, format, photometric):
    options = {"no_jp2": True} if format == "JPEG2000" else {"quality": 95}
    stream = encapsulate([encoded(Image.fromarray(coloured()), format, **options)])
    data = scan(coloured(), syntax=syntax, PhotometricInterpretation=photometric, PixelData=stream)
    np.testing.assert_allclose(shown(data), COLOURS, atol=12)


@pytest.mark.parametrize(
    ("syntax", "bits", "named"),
    [(JPEGLSLossless, 16, "JPEG-LS"), (JPEGExtended12Bit, 12, "JPEG Extended"), ("1.2.3.4", 16, "unknown")],
)
def test_compression_that_cannot_be_read_is_refused_by_its_name(shown, syntax, bits, named):
    with pytest.raises(Refused, match=named) as refused:
        shown(scan(stripes(), syntax=syntax, BitsStored=bits, PixelData=encapsulate([b"\xff\xd8"])))
    assert refused.value.code == Code.UNSUPPORTED_TYPE


def test_file_without_a_picture_is_refused_as_such(shown):
    report = dcmread(io.BytesIO(scan(stripes())))
    for keyword in ("Rows", "Columns", "PixelData"):
        delattr(report, keyword)
    buffer = io.BytesIO()
    report.save_as(buffer)
    with pytest.raises(Refused, match="holds no picture") as refused:
        shown(buffer.getvalue())
    assert refused.value.code == Code.UNSUPPORTED_TYPE


def test_nothing_that_identifies_the_patient_is_left(user):
    data = scan(np.asarray(drawn(1).convert("L")), PatientComments=PATIENT, StudyDescription=PATIENT)
    stored = store_upload(SimpleUploadedFile("scan.dcm", data), user).asset
    told = [*vars(stored).values(), *stored.preview.open(), *stored.thumbnail.open()]
    assert not [
        value for value in told if "Secret" in (value.decode("latin-1") if isinstance(value, bytes) else str(value))
    ]
    assert stored.original.open().read() == data
