import io

import pytest
from django.core.management import CommandError, call_command

from gallery.ingest.urls import listed
from gallery.models import Asset
from tests.conftest import drawn, encoded

pytestmark = pytest.mark.django_db(transaction=True)  # the command stores from several threads


def imported(*arguments, **options):
    try:
        call_command("import_urls", *arguments, **options)
    except SystemExit as end:
        return end.code
    return 0


def test_urls_are_stored_with_what_is_said_of_them(site, staff, capsys):
    assert imported(f"{site}/1.jpg", f"{site}/2.jpg", "--collection", "Web", "--tag", "sea", "--tag", "red") == 0
    assert sorted(Asset.objects.values_list("filename", flat=True)) == ["1.jpg", "2.jpg"]
    assert {(a.owner, a.collection.name, a.tags.count()) for a in Asset.objects.all()} == {(staff, "Web", 2)}
    assert Asset.objects.get(filename="1.jpg").original.read() == encoded(drawn(1))
    assert "2 stored, 0 there already, 0 refused" in capsys.readouterr().out


def test_each_refusal_is_named_with_its_url_and_stops_nothing(site, staff, capsys):
    urls = [f"{site}/{path}" for path in ("gone.jpg", "page.html", "1.jpg")]
    assert imported("http://127.0.0.1/", "file:///etc/passwd", *urls) == 1
    said = capsys.readouterr().out
    assert f"refused  {site}/gone.jpg: The server answers 404 Not Found." in said
    assert f"refused  {site}/page.html: This is no picture" in said
    assert "refused  http://127.0.0.1/: 127.0.0.1 is no server on the internet" in said
    assert "refused  file:///etc/passwd: Only URLs that begin with http" in said
    assert "1 stored, 0 there already, 4 refused" in said


def test_list_is_read_from_a_file_and_a_second_run_stores_only_what_is_new(site, staff, capsys, tmp_path):
    file = tmp_path / "urls.txt"
    file.write_text(f"# the sea\n{site}/1.jpg\n\n  {site}/2.jpg  \n{site}/1.jpg\n")
    assert imported("--file", str(file)) == 0
    file.write_text(f"{site}/1.jpg\n{site}/3.jpg\n")
    assert imported("--file", str(file)) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(", in ")[0] for line in said] == [
        "2 stored, 0 there already, 0 refused",
        "1 stored, 1 there already, 0 refused",
    ]


def test_list_is_read_from_standard_input(site, staff, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{site}/{seed}.jpg\n" for seed in range(1, 10))))
    assert imported("--file", "-") == 0
    assert Asset.objects.count() == 9


def test_what_a_terminal_would_obey_is_not_written_to_it(staff, capsys):
    imported("http://\x1b]0;owned\x07/")
    assert r"refused  http://\x1b]0;owned\x07/: This is no URL." in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_list_that_cannot_be_read_is_said(staff, tmp_path, content):
    file = tmp_path / "urls.txt"
    if content:
        file.write_bytes(content)
    with pytest.raises(CommandError, match=r"urls\.txt cannot be read"):
        imported("--file", str(file))


def test_command_wants_urls_or_a_file(staff, tmp_path):
    with pytest.raises(CommandError):
        imported()
    with pytest.raises(CommandError):
        imported("http://example.com/a.jpg", "--file", str(tmp_path))


def test_interrupted_import_tells_by_its_exit_status(site, staff, monkeypatch, capsys):
    def fetch(url):
        raise KeyboardInterrupt

    monkeypatch.setattr("gallery.ingest.urls.fetch", fetch)
    assert imported(f"{site}/1.jpg") == 130
    assert "0 stored" in capsys.readouterr().out


def test_listed_takes_each_url_once_and_in_order():
    assert listed(["b", " a ", "", "# c", "b\n"]) == ["b", "a"]
