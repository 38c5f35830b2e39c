import csv
import io

import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from search import pipeline


@pytest.fixture
def gallery(colour_encoder, flat):
    """Three assets of one colour each, searched by mean colour."""
    made = {name: flat(*rgb) for name, rgb in {"red": (250, 0, 0), "orange": (250, 90, 0), "blue": (0, 0, 250)}.items()}
    pipeline.embed_pending(colour_encoder)
    return made


@pytest.fixture
def painted(tmp_path):
    """painted(name, colour): a file."""

    def make(name, colour):
        path = tmp_path / name
        Image.new("RGB", (40, 30), colour).save(path)
        return path

    return make


def run(*arguments):
    """Exit status, and what was said and what was complained of."""
    out, complaints = io.StringIO(), io.StringIO()
    try:
        call_command("search", *map(str, arguments), stdout=out, stderr=complaints)
    except SystemExit as end:
        return end.code, out.getvalue(), complaints.getvalue()
    return 0, out.getvalue(), complaints.getvalue()


def test_names_and_scores_are_told_nearest_first(gallery, painted):
    status, said, _ = run(painted("query.png", (240, 10, 0)), "--k", 2)
    assert status == 0
    heading, first, second = said.splitlines()
    assert "query.png" in heading
    assert "exact" in heading
    assert (gallery["red"].filename in first, gallery["orange"].filename in second) == (True, True)
    assert float(first.split()[1]) > float(second.split()[1]) > 0.9


def test_csv_has_a_line_for_each_hit_of_each_picture(gallery, painted, tmp_path):
    target = tmp_path / "hits.csv"
    run(painted("warm.png", (250, 0, 0)), painted("cold.png", (0, 0, 250)), "--k", 2, "--csv", target)
    rows = list(csv.DictReader(target.open(newline="")))
    assert [(row["query"].rpartition("/")[2], row["rank"]) for row in rows] == [
        ("warm.png", "1"), ("warm.png", "2"), ("cold.png", "1"), ("cold.png", "2"),
    ]  # fmt: skip
    assert [int(row["id"]) for row in rows[::2]] == [gallery["red"].pk, gallery["blue"].pk]


def test_csv_in_the_terminal_is_all_that_is_said(gallery, painted):
    _, said, _ = run(painted("query.png", "red"), "--k", 1, "--csv", "-")
    assert [row["rank"] for row in csv.DictReader(io.StringIO(said))] == ["1"]


def test_contact_sheet_shows_the_query_and_its_hits(gallery, painted, tmp_path):
    run(painted("query.png", (0, 250, 0)), "--k", 3, "--contact-sheet", tmp_path / "sheet.png")
    sheet = Image.open(tmp_path / "sheet.png")
    greens = [pixel for _, pixel in sheet.getcolors(1 << 24) if pixel[1] > 200 and pixel[0] < 60 and pixel[2] < 60]
    blues = [pixel for _, pixel in sheet.getcolors(1 << 24) if pixel[2] > 200 and pixel[0] < 60 and pixel[1] < 60]
    assert greens
    assert blues
    assert sheet.width > 4 * 176


def test_hit_whose_files_are_gone_leaves_an_empty_tile(gallery, painted, tmp_path):
    gallery["red"].preview.delete(save=False)
    status, _, _ = run(painted("query.png", "red"), "--contact-sheet", tmp_path / "sheet.png")
    assert (status, (tmp_path / "sheet.png").exists()) == (0, True)


def test_unreadable_picture_is_named_and_the_others_are_searched_with(gallery, painted, tmp_path):
    damaged, missing = tmp_path / "damaged.jpg", tmp_path / "missing.jpg"
    damaged.write_bytes(b"no picture")
    status, said, complaints = run(damaged, painted("good.png", "red"), missing, "--k", 1)
    assert status == 1
    assert "good.png" in said
    assert "damaged" not in said
    assert "damaged.jpg: This is no picture" in complaints
    assert "missing.jpg: No such file" in complaints


def test_empty_gallery_is_told(colour_encoder, painted):
    status, said, _ = run(painted("query.png", "red"))
    assert (status, "nothing" in said) == (0, True)


@pytest.mark.parametrize("k", ["0", "201", "ten"])
def test_number_of_hits_must_be_one_that_can_be_had(painted, k):
    with pytest.raises(CommandError, match="1 to 200"):
        call_command("search", str(painted("query.png", "red")), "--k", k)


def test_output_that_cannot_be_written_is_said_before_searching(gallery, painted, tmp_path):
    with pytest.raises(CommandError, match="not a folder"):
        call_command("search", str(painted("query.png", "red")), "--csv", str(tmp_path / "none" / "hits.csv"))
