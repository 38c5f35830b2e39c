"""What is written in a picture about it: what is read, what is left out, and who is told where it was taken."""

import io
import struct
from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from PIL import Image, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo
from rest_framework.test import APIClient

from gallery import images, metadata
from gallery.metadata import Metadata
from gallery.uploads import Details, store_upload
from tests.conftest import drawn, encoded

SECRET = "Secret Words"
PLACE = {1: "N", 2: (48.0, 8.0, 15.0), 3: "W", 4: (11.0, 34.0, 30.0)}
LATITUDE, LONGITUDE = 48.1375, -11.575


def exif(main=(), details=(), gps=()):
    made = Image.Exif()
    made.update(main)
    made.get_ifd(0x8769).update(details)
    made.get_ifd(0x8825).update(gps)
    return made


FULL = exif(
    {0x010F: "Canon", 0x0110: "Canon EOS 5D", 0x010E: SECRET},
    {0x9003: "2024:05:17 18:30:05", 0x9011: "+02:00", 0xA433: "Canon", 0xA434: "EF 50mm"},
    PLACE,
)


def described(format):
    """FULL, as options for saving; Pillow leaves parts of it out of a TIFF, unless told of each."""
    if format != "TIFF":
        return {"exif": FULL}
    parts = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in FULL.items():
        parts[tag] = value
    parts[0x8769], parts[0x8825] = dict(FULL.get_ifd(0x8769)), PLACE
    return {"tiffinfo": parts}


def iptc(*datasets, charset=b""):
    """An APP13 segment as editors write it (IPTC-IIM 4.2 in a Photoshop resource)."""
    body = b"".join(
        b"\x1c" + bytes(number) + struct.pack(">H", len(value)) + value for number, value in [*charset, *datasets]
    )
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(body)) + body + b"\0" * (len(body) % 2)
    data = b"Photoshop 3.0\0" + resource
    return b"\xff\xed" + struct.pack(">H", len(data) + 2) + data


def with_segment(segment):
    jpeg = encoded(drawn(1))
    return jpeg[:2] + segment + jpeg[2:]


def xmp(title="", caption="", keywords=()):
    said = "".join(f"<rdf:li>{word}</rdf:li>" for word in keywords)
    return f"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
        xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description
        xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li>
        </rdf:Alt></dc:title><dc:description><rdf:Alt><rdf:li xml:lang="x-default">{caption}</rdf:li></rdf:Alt>
        </dc:description><dc:subject><rdf:Bag>{said}</rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>
        <?xpacket end="w"?>""".encode()


@pytest.fixture
def told(tmp_path):
    def read(data):
        path = tmp_path / "upload"
        path.write_bytes(data)
        return images.render(path, max_pixels=1_000_000).metadata

    return read


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_camera_lens_date_and_place_are_read(told, format):
    read = told(encoded(drawn(1), format, **described(format)))
    assert (read.camera, read.lens) == ("Canon EOS 5D", "Canon EF 50mm")
    assert read.taken == datetime(2024, 5, 17, 18, 30, 5, tzinfo=timezone(timedelta(hours=2)))
    assert read.location == (LATITUDE, LONGITUDE)


def test_picture_of_which_nothing_is_said_tells_nothing(told):
    assert told(encoded(drawn(1))) == Metadata()


@pytest.mark.parametrize(
    ("maker", "model", "camera"),
    [
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("NIKON CORPORATION", "NIKON D850", "NIKON D850"),
        ("Apple", "iPhone 15", "Apple iPhone 15"),
        (None, "Box", "Box"),
        ("Kodak", None, ""),
    ],
)
def test_maker_is_told_once(told, maker, model, camera):
    main = {0x010F: maker, 0x0110: model}
    data = encoded(drawn(1), exif=exif({tag: value for tag, value in main.items() if value}))
    assert told(data).camera == camera


@pytest.mark.parametrize(
    "details",
    [
        {0x9003: "0000:00:00 00:00:00"},
        {0x9003: "    :  :     :  :  "},
        {0x9003: "2024:02:30 10:00:00"},
        {0x9003: "1300:01:01 00:00:00"},
        {0x9003: "1826:01:01 00:00:00", 0x9011: "+02:00"},
        {0x9003: "9999:12:31 23:59:59"},
        {0x9003: "9999:12:31 23:59:59", 0x9011: "-12:00"},
        {0x9003: f"{datetime.now(UTC).year + 2}:01:01 00:00:00"},
        {0x9003: f"{datetime.now(UTC).year + 1}:12:31 23:59:59", 0x9011: "-12:00"},
        {0x9003: b"\xff\xfe"},
        {0x9011: "+02:00"},
    ],
)
def test_date_that_is_none_is_left_out(told, details):
    assert told(encoded(drawn(1), exif=exif(details=details))).taken is None


@pytest.mark.parametrize("offset", ["", "elsewhere", "+99:99"])
def test_date_without_a_zone_is_by_the_clock(told, offset):
    details = {0x9003: "2024:05:17 18:30:05", 0x9011: offset}
    assert told(encoded(drawn(1), exif=exif(details=details))).taken == datetime(2024, 5, 17, 18, 30, 5)  # noqa: DTZ001


@pytest.mark.parametrize(
    "changed",
    [
        {2: (95.0, 0.0, 0.0)},
        {4: (181.0, 0.0, 0.0)},
        {2: (float("nan"),) * 3},
        {2: (0.0,) * 3, 4: (0.0,) * 3},
        {2: (1.0,)},
        {2: "somewhere"},
    ],
)
def test_place_that_is_none_is_left_out(changed):
    assert metadata._or(lambda: metadata._location({**PLACE, **changed}), None) is None


def test_title_caption_and_keywords_are_read_of_iptc(told):
    said = iptc(
        ((2, 5), "Müllers Kuh".encode()),
        ((2, 120), b"Line one\r\nline two"),
        ((2, 25), b"cow"),
        ((2, 25), b"Wiese"),
        ((2, 25), b"cow"),
    )
    read = told(with_segment(said))
    assert (read.title, read.caption, read.keywords) == ("Müllers Kuh", "Line one line two", ("cow", "Wiese"))


def test_latin_letters_of_old_editors_are_read(told):
    assert told(with_segment(iptc(((2, 5), "Müller".encode("latin-1"))))).title == "Müller"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_title_caption_and_keywords_are_read_of_xmp(told, format):
    data = encoded(drawn(1), format, **packet(format, xmp("Kuh &amp; Wiese", "Ärger", ["cow", "grass"])))
    read = told(data)
    assert (read.title, read.caption, read.keywords) == ("Kuh & Wiese", "Ärger", ("cow", "grass"))


def packet(format, data):
    if format == "PNG":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", data.decode())
        return {"pnginfo": info}
    return {"tiffinfo": {700: data}} if format == "TIFF" else {"xmp": data}


BOMB = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><a>&b;</a>"""


@pytest.mark.parametrize("data", [b"<", b"\xff" * 100, BOMB, xmp("x")[:200], xmp("y" * 1_100_000)])
def test_packet_that_cannot_be_read_is_left_out(told, data):
    image = {"xmp": data} if len(data) < 60_000 else {}
    assert told(encoded(drawn(1), **image)) == Metadata()
    assert told(encoded(drawn(1), "WEBP", xmp=data)) == Metadata()


def test_what_is_said_is_cut_and_cleaned(told):
    said = xmp("a\u202etxt.exe\x07 \u200b b".replace("\x07", ""), "c" * 5_000, [f"{i}" + "k" * 200 for i in range(500)])
    read = told(encoded(drawn(1), "WEBP", xmp=said))
    assert read.title == "a txt.exe b"
    assert len(read.caption) == metadata.MOST_CAPTION
    assert len(read.keywords) == metadata.MOST_KEYWORDS
    assert {len(word) for word in read.keywords} == {metadata.MOST_KEYWORD}
    assert told(encoded(drawn(1), exif=exif({0x0110: "x\x00\x1b[31my" + "z" * 500}))).camera.isprintable()


# --- what becomes of it ---------------------------------------------------------------------------------------


@pytest.fixture
def photo(user):
    """A stored photograph that says all there is to say."""
    data = encoded(drawn(1), exif=FULL, xmp=xmp("Kuh", "On &lt;b&gt;grass&lt;/b&gt;", ["cow", "&lt;script&gt;"]))
    return store_upload(SimpleUploadedFile("IMG_1.jpg", data), user).asset


def test_what_is_said_is_stored(photo):
    photo.refresh_from_db()
    assert (photo.title, photo.caption, photo.keywords) == ("Kuh", "On <b>grass</b>", ["cow", "<script>"])
    assert (photo.camera, photo.lens) == ("Canon EOS 5D", "Canon EF 50mm")
    assert photo.taken == datetime(2024, 5, 17, 16, 30, 5, tzinfo=UTC)
    assert (photo.latitude, photo.longitude) == (LATITUDE, LONGITUDE)
    assert not photo.tags.exists()


def test_title_of_who_uploads_comes_first(user):
    data = encoded(drawn(1), xmp=xmp("Kuh"))
    assert store_upload(SimpleUploadedFile("a.jpg", data), user, Details("Mine")).asset.title == "Mine"


def test_clock_without_a_zone_is_shown_as_it_was(user, user_client, settings):
    settings.TIME_ZONE = "America/New_York"
    data = encoded(drawn(1), exif=exif(details={0x9003: "2024:05:17 23:30:05"}))
    stored = store_upload(SimpleUploadedFile("a.jpg", data), user).asset
    assert "May 17, 2024, 11:30 p.m." in user_client.get(stored.get_absolute_url()).content.decode()


def test_page_shows_it_escaped(photo, user_client):
    page = user_client.get(photo.get_absolute_url()).content.decode()
    for shown in (
        "Canon EOS 5D",
        "Canon EF 50mm",
        "May 17, 2024, 4:30 p.m.",
        "cow, &lt;script&gt;",
        "On &lt;b&gt;grass",
    ):
        assert shown in page
    assert "<b>grass" not in page


@pytest.mark.parametrize(("reader", "is_told"), [("user", True), ("staff", True), ("stranger", False), ("", False)])
def test_page_tells_the_place_to_owner_and_staff_alone(request, photo, settings, reader, is_told):
    settings.PUBLIC_READ = True
    client = request.getfixturevalue(f"{reader}_client" if reader else "client")
    page = client.get(photo.get_absolute_url()).content.decode()
    assert ("48.1375" in page) == ("11.575" in page) == is_told


def test_api_tells_the_place_to_owner_and_staff_alone(photo, user, staff, stranger, settings):
    settings.PUBLIC_READ = True
    place = {"latitude": LATITUDE, "longitude": LONGITUDE}
    for reader, expected in ((user, place), (staff, place), (stranger, None), (None, None)):
        client = APIClient()
        client.force_authenticate(reader)
        for path in ("/api/v1/assets/", f"/api/v1/assets/{photo.pk}/"):
            body = client.get(path).json()
            answer = body["results"][0] if "results" in body else body
            assert answer["location"] == expected
            assert (answer["camera"], answer["taken"]) == ("Canon EOS 5D", "2024-05-17T16:30:05Z")
            assert expected or "48.1375" not in str(body)


def test_place_cannot_be_changed_by_the_api(photo, api):
    api.patch(f"/api/v1/assets/{photo.pk}/", {"location": None, "camera": "x", "latitude": 1}, format="json")
    photo.refresh_from_db()
    assert (photo.camera, photo.latitude) == ("Canon EOS 5D", LATITUDE)


def test_admin_shows_it(photo, staff_client):
    page = staff_client.get(reverse("admin:gallery_asset_change", args=[photo.pk])).content.decode()
    for shown in ("Canon EOS 5D", "cow, &lt;script&gt;", str(LATITUDE), "On &lt;b&gt;grass"):
        assert shown in page


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_renditions_carry_nothing_of_it(tmp_path, format):
    options = packet(format, xmp(SECRET, SECRET, [SECRET]))
    (tmp_path / "upload").write_bytes(encoded(drawn(1), format, exif=FULL, **options))
    rendered = images.render(tmp_path / "upload", max_pixels=1_000_000)
    for jpeg in (rendered.preview, rendered.thumbnail):
        opened = Image.open(io.BytesIO(jpeg))
        assert not opened.getexif()
        assert not set(opened.info) - {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert SECRET.encode() not in jpeg
        assert b"Canon" not in jpeg
