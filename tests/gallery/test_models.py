import pytest
from django.db import connection

from gallery.models import Asset, Tag


def test_tags_are_found_whatever_their_case(db):
    first = Tag.objects.named(["Äpfel", "shoe"])
    again = Tag.objects.named(["äpfel", "SHOE", "hat"])
    assert {tag.pk for tag in first} < {tag.pk for tag in again}
    assert Tag.objects.count() == 3


def test_no_names_are_no_tags(db):
    assert Tag.objects.named([]) == []


def test_tags_are_kept_with_their_assets_as_prefetching_keeps_them(asset, django_assert_num_queries):
    tagged, other = asset(1, tags=["b", "a"]), asset(2)
    with django_assert_num_queries(1):
        Tag.objects.keep_with([tagged, other])
    with django_assert_num_queries(0):
        assert [[tag.name for tag in each.tag_list] for each in (tagged, other)] == [["a", "b"], []]
    assert [tag.name for tag in tagged.tags.filter(name="a")] == ["a"]
    assert not other.tags.filter(name="a").exists()


@pytest.mark.parametrize("text", ["äpfel", "ÄPF", "rot äpfel", "äpfel-rot", "img_07", "07", "schuh", "Schuh äpfel"])
def test_words_match_as_people_write_them(asset, text):
    stored = asset(1, title="Rote_Äpfel, IMG_07.final", tags=["Schuh"])
    asset(2, title="Birnen")
    assert list(Asset.objects.matching(text)) == [stored]


@pytest.mark.parametrize("text", ["apfel", "fel", "äpfel birnen", "'", "!!", "& | :*"])
def test_what_does_not_match_gives_nothing(asset, text):
    asset(1, title="Rote Äpfel")
    assert list(Asset.objects.matching(text)) == []


def test_no_text_matches_everything(asset):
    asset(1)
    assert Asset.objects.matching("  ").count() == 1


def test_database_knows_letters_beyond_ascii(db):
    with connection.cursor() as cursor:
        cursor.execute("SELECT lower('ÄÖŁ')")
        assert cursor.fetchone() == ("äöł",)


@pytest.mark.parametrize(
    ("filename", "format", "told"),
    [
        ("a.jpg", "JPEG", ""),
        ("a.JPEG", "JPEG", ""),
        ("a.jpg", "MPO", ""),
        ("a.heic", "HEIF", ""),
        ("a", "PNG", ""),
        ("of 3.5 metres", "PNG", ""),
        ("a.jpg", "PNG", "The file is named .jpg, but its content is PNG."),
        ("a.PNG", "DICOM", "The file is named .png, but its content is DICOM."),
        ("a.html", "GIF", "The file is named .html, but its content is GIF."),
    ],
)
def test_asset_says_where_its_name_and_its_content_disagree(filename, format, told):
    assert Asset(filename=filename, format=format).mismatch == told
