"""Archives that were made to harm who unpacks them. What can be read of them is stored, and the rest named."""

import io
import stat
import struct
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from django.conf import settings as project
from django.core.management import CommandError, call_command
from PIL import Image

from gallery.ingest.archive import entries, open_archive
from gallery.models import Asset
from tests.conftest import drawn, encoded

pytestmark = pytest.mark.django_db(transaction=True)  # the command stores from several threads


def jpeg(seed):
    return encoded(drawn(seed))


def packed(*members, method=zipfile.ZIP_DEFLATED):
    """An archive of (name or ZipInfo, bytes), in order; names may repeat."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data, method)
    return buffer.getvalue()


def link(name, target):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target


def directory_entry(data, index=0):
    """Where the directory's entry begins."""
    position = data.index(b"PK\x01\x02")
    for _ in range(index):
        position = data.index(b"PK\x01\x02", position + 4)
    return position


def patched(data, offset, form, value, index=0):
    """With a field of a directory's entry changed, and not what comes before the data itself."""
    changed = bytearray(data)
    struct.pack_into(form, changed, directory_entry(data, index) + offset, value)
    return bytes(changed)


@pytest.fixture
def imported(staff, tmp_path, capsys):
    """imported(data): the exit status, and what was said."""

    def run(data):
        path = tmp_path / "photos.zip"
        path.write_bytes(data)
        before = files_outside(tmp_path)
        try:
            call_command("import_folder", str(path))
            status = 0
        except SystemExit as end:
            status = end.code
        assert files_outside(tmp_path) == before
        return status, capsys.readouterr().out

    return run


def files_outside(folder):
    """What there is in the places that names of archives aim at."""
    places = [folder, folder.parent, project.MEDIA_ROOT, project.SPOOL_DIR, Path("/tmp"), Path.cwd()]  # noqa: S108
    return {path for place in places for path in place.glob("*.jpg")} | set(Path(project.SPOOL_DIR).iterdir())


def filenames():
    return sorted(Asset.objects.values_list("filename", flat=True))


def test_pictures_of_a_zip_are_stored_and_a_second_run_skips_them(imported):
    data = packed(("a.jpg", jpeg(1)), ("deep/er/b.PNG", encoded(drawn(2), "PNG")), ("README.md", b"words"))
    assert imported(data)[0] == 0
    assert filenames() == ["a.jpg", "b.PNG"]
    assert Asset.objects.get(filename="a.jpg").original.read() == jpeg(1)
    assert "0 stored, 2 there already, 0 refused" in imported(data)[1]


def test_folders_and_hidden_files_are_left_out(imported):
    members = [("d.jpg/", b""), ("__MACOSX/._a.jpg", b"x"), ("._a.jpg", b"x"), (".cache/b.jpg", jpeg(2))]
    assert imported(packed(("a.jpg", jpeg(1)), *members))[0] == 0
    assert filenames() == ["a.jpg"]


@pytest.mark.parametrize(
    "name",
    [
        "../../evil.jpg",
        "a/../../evil.jpg",
        "..\\..\\evil.jpg",
        "/tmp/evil.jpg",  # noqa: S108
        "//host/share/evil.jpg",
        "C:\\evil.jpg",
        "C:/evil.jpg",
        "\\\\host\\share\\evil.jpg",
    ],
)
def test_name_that_leads_out_is_refused_and_the_rest_goes_on(imported, name):
    status, said = imported(packed((name, jpeg(1)), ("good.jpg", jpeg(2))))
    assert status == 1
    assert f"refused  {name}: Its name leads out of the archive." in said
    assert filenames() == ["good.jpg"]


def test_backslashes_separate_folders_as_packers_on_windows_have_it(imported):
    assert imported(packed(("holiday\\sea.jpg", jpeg(1))))[0] == 0
    assert filenames() == ["sea.jpg"]


def test_link_is_refused_and_what_it_points_at_never_read(imported):
    status, said = imported(packed(link("a.jpg", "/etc/passwd"), link("passwd", "/etc/passwd"), ("b.jpg", jpeg(2))))
    assert status == 1
    assert "refused  a.jpg: It is a link" in said
    assert "refused  passwd: It is a link" in said
    assert filenames() == ["b.jpg"]


def test_archive_in_an_archive_is_named_and_not_opened(imported):
    status, said = imported(packed(("in.zip", packed(("a.jpg", jpeg(1)))), ("b.jpg", jpeg(2))))
    assert status == 1
    assert "refused  in.zip: It is an archive in an archive." in said
    assert filenames() == ["b.jpg"]


@pytest.mark.parametrize("flag", [0x1, 0x41, 0x20, 0x2000])
def test_encrypted_entry_is_refused_and_the_rest_goes_on(imported, flag):
    status, said = imported(patched(packed(("a.jpg", jpeg(1)), ("b.jpg", jpeg(2))), 8, "<H", flag))
    assert status == 1
    assert "refused  a.jpg: It is encrypted." in said
    assert filenames() == ["b.jpg"]


@pytest.mark.parametrize("change", [-1, -300, -10_000])
def test_size_that_is_too_small_is_found_out(imported, change):
    data = packed(("a.jpg", jpeg(1)), ("b.jpg", jpeg(2)))
    lying = patched(data, 24, "<L", max(len(jpeg(1)) + change, 0))
    status, said = imported(lying)
    assert status == 1
    assert "refused  a.jpg: " in said
    assert filenames() == ["b.jpg"]


def test_size_that_is_too_large_is_not_believed(imported):
    assert imported(patched(packed(("a.jpg", jpeg(1))), 24, "<L", len(jpeg(1)) + 100_000))[0] == 0
    assert Asset.objects.get().size_bytes == len(jpeg(1))


def test_entry_that_unpacks_to_more_than_it_says_is_read_no_further(imported, settings):
    settings.MAX_UPLOAD_BYTES = 1_000_000
    status, said = imported(patched(packed(("a.jpg", bytes(50_000_000))), 24, "<L", 10_000))
    assert status == 1
    assert "refused  a.jpg: It is damaged in the archive" in said


def test_entry_too_large_or_packed_too_tightly_is_refused(imported, settings):
    data = packed(("ratio.jpg", bytes(2_000_000)), ("b.jpg", jpeg(2)))
    status, said = imported(data)
    assert status == 1
    assert "refused  ratio.jpg: Unpacked it is too large." in said
    settings.MAX_UPLOAD_BYTES = len(jpeg(2)) - 1
    assert "refused  b.jpg: Unpacked it is too large." in imported(data)[1]
    assert filenames() == ["b.jpg"]


def test_all_together_are_no_more_than_a_hundred_times_the_archive(imported, settings):
    settings.MAX_UPLOAD_BYTES = 1_000_000
    flat = [(f"{n}.bmp", encoded(Image.new("RGB", (512, 512), (n, n, n)), "BMP")) for n in range(5)]
    data = packed(*flat)
    assert 100 * len(data) < 2 * len(flat[0][1])
    status, said = imported(data)
    assert status == 1
    assert said.count("far more than its size") == 4
    assert filenames() == ["0.bmp"]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_without_limit_are_refused(imported, method):
    buffer = io.BytesIO(packed(("b.jpg", jpeg(2))))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("a.jpg", bytes(100_000), method)
    status, said = imported(buffer.getvalue())
    assert status == 1
    assert "refused  a.jpg: It is compressed by another method" in said
    assert filenames() == ["b.jpg"]


def test_entries_that_share_their_data_are_refused(imported):
    data = packed(("a.jpg", jpeg(1)), ("b.jpg", jpeg(2)))
    status, said = imported(patched(data, 42, "<L", 0, index=1))
    assert status == 1
    assert "refused  b.jpg: It is damaged in the archive" in said


def test_damaged_entry_is_refused_and_the_rest_goes_on(imported):
    data = bytearray(packed(("a.jpg", jpeg(1)), ("b.jpg", jpeg(2)), method=zipfile.ZIP_STORED))
    data[200] ^= 0xFF
    status, said = imported(bytes(data))
    assert status == 1
    assert "refused  a.jpg: It is damaged in the archive" in said
    assert filenames() == ["b.jpg"]


def test_entries_of_one_name_are_both_stored(imported):
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = packed(("a.jpg", jpeg(1)), ("a.jpg", jpeg(2)))
    assert imported(data)[0] == 0
    assert filenames() == ["a.jpg", "a.jpg"]


def test_name_is_made_harmless_for_terminal_and_database(imported):
    status, said = imported(
        packed(("\x1b[31mred\n\u202e.jpg", b"no picture"), ("\x1b]0;x\x07" + "y" * 300 + ".jpg", jpeg(2)))
    )
    assert status == 1
    assert r"refused  \x1b[31mred\n\u202e.jpg: " in said
    assert filenames() == ["]0;x" + "y" * 193 + ".jpg"]


def test_entry_named_as_a_file_of_this_machine_is_read_from_the_archive(imported, tmp_path, monkeypatch, settings):
    """Django takes the size of a file from the file system, where it has a name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes(bytes(2_000_000))
    settings.MAX_UPLOAD_BYTES = 1_000_000
    assert imported(packed(("a.jpg", jpeg(1))))[0] == 0
    assert Asset.objects.get().size_bytes == len(jpeg(1))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        jpeg(1),
        packed(("a.jpg", jpeg(1)))[:-30],
        patched(packed(("a.jpg", jpeg(1))), 6, "<H", 99),  # needs a later version
    ],
)
def test_what_is_no_archive_is_said(imported, data):
    with pytest.raises(CommandError, match="no ZIP file, or a damaged one"):
        imported(data)


def test_fifty_thousand_entries_are_refused(imported):
    with pytest.raises(CommandError, match="50,000 files or more"):
        imported(packed(*((f"{n}", b"") for n in range(50_000)), method=zipfile.ZIP_STORED))


def test_large_directory_is_refused_before_it_is_read(imported):
    size = 17_000_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, size, 0, 0)  # which says that it is of one entry
    with pytest.raises(CommandError, match="50,000 files or more"):
        imported(bytes(size) + end)


def test_empty_archive_imports_nothing(imported):
    assert imported(packed())[0] == 0


EXPECTED = {
    "zip_ok_3.zip": Counter(taken=3),
    "zip_slip_rel.zip": Counter(invalid=1, taken=1),
    "zip_slip_abs.zip": Counter(invalid=1),
    "zip_slip_backslash.zip": Counter(invalid=1),
    "zip_drive.zip": Counter(invalid=1),
    "zip_symlink.zip": Counter(unsupported_type=1),
    "zip_bomb_1file_200MB.zip": Counter(too_large=1),
    "zip_nested.zip": Counter(unsupported_type=1),
    "zip_macosx.zip": Counter(taken=1),
    "zip_encrypted_flag.zip": Counter(unsupported_type=3),
    "zip_empty.zip": Counter(),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_entries_of_hostile_archives_are_taken_or_refused(shared, name):
    path = shared / "hostile/synthetic" / name
    with open_archive(path) as archive:
        found = entries(archive, path.stat().st_size)
    assert Counter(str(one.refused.code) if one.refused else "taken" for one in found) == EXPECTED[name]


def test_no_hostile_archive_brings_the_import_down(imported, shared):
    outcomes = {}
    for path in sorted((shared / "hostile/synthetic").glob("*zip*")):
        try:
            outcomes[path.name] = imported(path.read_bytes())[1].splitlines()[-1]
        except CommandError as error:
            outcomes[path.name] = str(error)
    print(*outcomes.items(), sep="\n")
    assert "50,000 files or more" in outcomes["zip_many_50k_entries.zip"]
    assert "no ZIP file" in outcomes["zip_trunc.zip"]
    assert "2 refused" not in outcomes["zip_bad_crc.zip"]
    assert "1 refused" in outcomes["zip_bad_crc.zip"]
    assert "0 stored, 0 there already, 1 refused" in outcomes["zip_lying_size.zip"]
    assert len(outcomes) > 15
