import csv
import io
import json
import re
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from pypdf import PdfReader

from gallery.models import Asset
from gallery.storage import LastingStorage, StorageUnavailable
from gallery.uploads import store_upload
from search import calibration, pipeline, report_making, tasks
from search.models import Embedding, RecentQuery
from search.report_models import LIFETIME, Entry, Report
from search.verdicts import LEVELS, Verdict, level_for, verdict
from tests.conftest import drawn, encoded

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
JSON = {"Accept": "application/json"}
MOST_QUERIES = 12
REPORTS, HAVE = "/reports/", "/reports/have/"
SIZE = (640, 480)


def file_of(seed: int, name: str = "", format: str = "JPEG", size: tuple[int, int] = SIZE) -> SimpleUploadedFile:
    return SimpleUploadedFile(name or f"picture-{seed}.jpg", encoded(drawn(seed, SIZE).resize(size), format))


def copy_of(seed: int) -> SimpleUploadedFile:
    """Smaller, and as another kind of file."""
    return file_of(seed, f"copy-{seed}.webp", "WEBP", (320, 240))


def broken() -> SimpleUploadedFile:
    return SimpleUploadedFile("broken.jpg", b"this is no picture")


@pytest.fixture
def gallery(user, encoder) -> list[Asset]:
    """Assets 0 to 3, that can be found."""
    assets = [store_upload(file_of(seed), user).asset for seed in range(4)]
    pipeline.embed([asset.pk for asset in assets], encoder)
    return assets


@pytest.fixture
def report(user, gallery) -> Report:
    """Of a picture that is there, a copy of one, one that is not, and one that cannot be read."""
    made = report_making.begin(user)
    report_making.add(made, report_making.of_files([file_of(0), copy_of(1), file_of(9), broken()], user, keep=True))
    return made


def verdicts(report: Report) -> list[Verdict]:
    return [entry.verdict(report.level) for entry in report.entries.order_by("pk")]


# --- verdicts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (("corrupt", "", None, None), Verdict.REFUSED),
        (("", "identical", 0.5, 0.5), Verdict.FOUND),
        (("", "same", None, 0.97), Verdict.FOUND),
        (("", "", 0.9995, 0.8), Verdict.NEAR),
        (("", "", 0.9985, 0.99), Verdict.MISSING),
        (("", "", None, 0.95), Verdict.NEAR),  # a gallery too small to be calibrated
        (("", "", None, 0.85), Verdict.MISSING),
        (("", "", None, None), Verdict.MISSING),
    ],
)
def test_verdict_is_by_match_and_then_by_score(scores, expected):
    assert verdict(*scores, level=0.999) == expected


def test_level_is_what_chance_reaches_less_than_once_in_a_gallery_of_that_size():
    for assets in (5, 50, 500, 5_000, 50_000, 500_000):
        level = level_for(assets)
        assert (1 - level) * assets < 1
        assert all((1 - lower) * assets >= 1 for lower in LEVELS if lower < level)
    assert level_for(10**9) == LEVELS[-1]


# --- making one -----------------------------------------------------------------------------------------------


def test_each_picture_is_found_near_missing_or_refused(report, gallery):
    assert verdicts(report) == [Verdict.FOUND, Verdict.FOUND, Verdict.MISSING, Verdict.REFUSED]
    identical, same, missing, refused = report.entries.order_by("pk")
    assert (identical.match, identical.hits[0]["asset"]) == (Entry.Match.IDENTICAL, gallery[0].pk)
    assert (same.match, same.hits[0]["asset"]) == (Entry.Match.SAME, gallery[1].pk)
    assert missing.hits
    assert missing.similarity == missing.hits[0]["similarity"]
    assert (refused.code, refused.hits) == ("unsupported_type", [])
    assert refused.detail


def test_pictures_of_one_report_are_encoded_together(user, gallery, monkeypatch):
    batches: list[int] = []
    real = report_making.query.like_each
    monkeypatch.setattr(
        report_making.query,
        "like_each",
        lambda parts, *args, **more: batches.append(len(parts)) or real(parts, *args, **more),
    )
    report_making.of_files([file_of(seed) for seed in range(10, 15)] + [broken()], user, keep=True)
    assert batches == [5]


def test_asset_that_is_not_analysed_yet_is_found_by_its_bytes(user, gallery):
    pending = store_upload(file_of(7), user).asset
    [entry] = report_making.of_files([file_of(7)], user, keep=True)
    assert (entry.match, entry.hits[0]["asset"]) == (Entry.Match.IDENTICAL, pending.pk)


def test_calibrated_gallery_scores_by_random_pairs(user, encoder, asset):
    assets = [asset(seed) for seed in range(60)]
    pipeline.embed([one.pk for one in assets], encoder)
    calibration.calibrate(encoder)
    [entry] = report_making.of_files([file_of(99)], user, keep=True)
    assert 0 <= entry.closer_than < 1
    assert entry.verdict(0.0) == Verdict.NEAR


def test_no_encoder_refuses_each_picture_in_words(user):
    [entry] = report_making.of_files([file_of(1)], user, keep=True)
    assert entry.code == "encoder_unavailable"
    assert entry.thumbnail  # so that the report shows which


def test_full_report_takes_no_more(user_client, report, monkeypatch):
    monkeypatch.setattr(report_making, "MOST_ENTRIES", 4)
    answer = user_client.post(report.get_absolute_url(), {"picture": file_of(5)}, headers={**HTMX, **JSON})
    assert answer.status_code == 400
    assert "4 pictures" in answer.json()["detail"]
    assert report.entries.count() == 4


# --- pages ----------------------------------------------------------------------------------------------------


def test_form_without_script_makes_a_report_of_all_its_files(user_client, gallery):
    answer = user_client.post(REPORTS, {"picture": [file_of(0), file_of(9), broken()]}, follow=True)
    [report] = Report.objects.all()
    assert answer.redirect_chain == [(report.get_absolute_url(), 302)]
    page = answer.content.decode()
    assert "Found: Identical" in page
    assert "No close match" in page
    assert "broken.jpg" in page
    assert "no picture we can read" in page
    assert f'href="{gallery[0].get_absolute_url()}"' in page


def test_search_page_makes_a_report_of_several_pictures(client, user_client, gallery, settings):
    answer = user_client.post("/", {"image": [file_of(0), file_of(9)]})
    [report] = Report.objects.all()
    assert answer["Location"] == report.get_absolute_url()
    assert verdicts(report) == [Verdict.FOUND, Verdict.MISSING]
    settings.PUBLIC_READ = True
    assert "?query=" in client.post("/", {"image": [file_of(0), file_of(9)]})["Location"]


def test_addresses_are_fetched_and_searched_with(user_client, site, encoder, user):
    store_upload(SimpleUploadedFile("1.jpg", encoded(drawn(1))), user)
    user_client.post(REPORTS, {"urls": f"{site}/1.jpg\n\n{site}/missing.jpg\n"})
    first, second = Entry.objects.order_by("pk")
    assert (first.name, first.url, first.match) == ("1.jpg", f"{site}/1.jpg", "identical")
    assert (second.url, second.code) == (f"{site}/missing.jpg", "fetch_failed")


def test_nothing_chosen_is_said(user_client, encoder):
    answer = user_client.post(REPORTS, {"urls": " \n "})
    assert answer.status_code == 400
    assert "Choose pictures" in answer.content.decode()
    assert not Report.objects.exists()


def test_script_begins_an_empty_report_and_adds_to_it(user_client, gallery):
    begun = user_client.post(REPORTS, headers=JSON)
    assert begun.status_code == 201
    address = begun.json()["url"]
    assert "nothing in this report yet" in user_client.get(address).content.decode()
    added = user_client.post(address, {"picture": copy_of(2)}, headers=HTMX).content.decode()
    assert added.count('<li class="section') == 1
    assert "Found: Same picture" in added
    assert 'hx-swap-oob="true"' in added
    assert "<html" not in added


def test_pictures_stand_where_they_were_given_whichever_is_answered_first(user_client, gallery):
    address = user_client.post(REPORTS, headers=JSON).json()["url"]
    for seed, place in ((2, 1), (1, 0)):
        user_client.post(address, {"picture": file_of(seed, f"{place}.jpg"), "place": place}, headers=HTMX)
    user_client.post(address, {"picture": [file_of(3, "2.jpg"), file_of(9, "3.jpg")]})  # where it is not said: last
    page = user_client.get(address)
    assert [section.entry.name for section in page.context["sections"]] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert 'data-next-place="4"' in page.content.decode()
    told = json.loads(user_client.get(f"{address}report.json").content)
    assert [picture["name"] for picture in told["pictures"]] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]


def test_level_decides_what_is_near_and_stays_in_links(user_client, report):
    Entry.objects.filter(match="", code="").update(closer_than=0.995)
    page = user_client.get(report.get_absolute_url(), {"level": "0.99"}).content.decode()
    assert 'data-verdict="near"' in page
    assert f"{report.get_absolute_url()}report.csv?level=0.99" in page
    page = user_client.get(report.get_absolute_url(), {"level": "0.999"}).content.decode()
    assert 'data-verdict="near"' not in page


@pytest.mark.parametrize("query", ["level=nan", "level=-1", "level=x", "show=all", "page=x", "level=&show="])
def test_odd_addresses_show_the_whole_report(user_client, report, query):
    page = user_client.get(f"{report.get_absolute_url()}?{query}").content.decode()
    assert page.count("data-verdict=") == 4


def test_one_verdict_can_be_shown_alone(user_client, report):
    page = user_client.get(report.get_absolute_url(), {"show": "found"}).content.decode()
    assert page.count('data-verdict="found"') == page.count("data-verdict=") == 2


@pytest.mark.parametrize("path", ["", "report.csv", "report.json", "report.pdf", "sheet/"])
def test_pages_take_few_queries_whatever_they_show(user_client, gallery, report, path, django_assert_max_num_queries):
    ids = [asset.pk for asset in gallery]
    hits = [{"asset": pk, "similarity": 0.5, "distance": 0.5, "closer_than": None, "match": ""} for pk in ids]
    many = [Entry(name=f"{n}.jpg", hits=hits, width=4, height=3, similarity=0.5) for n in range(120)]
    report_making.add(report, many)
    with django_assert_max_num_queries(MOST_QUERIES):
        assert user_client.get(report.get_absolute_url() + path).status_code == 200


def test_adding_a_picture_takes_few_queries(user_client, report, django_assert_max_num_queries):
    with django_assert_max_num_queries(MOST_QUERIES + 6):  # five of them are the search
        user_client.post(report.get_absolute_url(), {"picture": file_of(6)}, headers=HTMX)


def test_list_shows_ones_own_reports(user_client, report, django_assert_max_num_queries):
    with django_assert_max_num_queries(MOST_QUERIES):
        page = user_client.get(REPORTS).content.decode()
    assert report.get_absolute_url() in page
    assert "4 pictures" in page


def test_refused_picture_is_tried_again_in_its_place(user_client, report):
    refused = report.entries.get(code="unsupported_type")
    answer = user_client.post(
        f"{report.get_absolute_url()}{refused.pk}/", {"picture": file_of(3)}, headers=HTMX
    ).content.decode()
    assert f'id="entry-{refused.pk}"' in answer
    assert f'data-place="{refused.place}"' in answer
    assert "Found: Identical" in answer
    assert report.entries.count() == 4


def test_thumbnail_is_shown(user_client, report):
    entry = report.entries.order_by("pk").first()
    answer = user_client.get(f"{report.get_absolute_url()}{entry.pk}/picture.jpg")
    assert answer["Content-Type"] == "image/jpeg"
    assert answer.content.startswith(b"\xff\xd8")
    refused = report.entries.get(code="unsupported_type")
    assert user_client.get(f"{report.get_absolute_url()}{refused.pk}/picture.jpg").status_code == 404


def test_deleted_assets_are_left_out(user_client, report, gallery):
    gallery[0].delete()
    page = user_client.get(report.get_absolute_url()).content.decode()
    assert f"/assets/{gallery[0].pk}/" not in page


# --- as a PDF -------------------------------------------------------------------------------------------------


def pdf_of(client, report: Report, query: str = "") -> PdfReader:
    answer = client.get(f"{report.get_absolute_url()}report.pdf{query}")
    assert answer["Content-Type"] == "application/pdf"
    assert answer["Content-Disposition"] == f'attachment; filename="report-{report.pk}.pdf"'
    return PdfReader(io.BytesIO(answer.content))


def text_of(pdf: PdfReader) -> str:
    return " ".join(" ".join(page.extract_text() for page in pdf.pages).split())


def pictures_in(pdf: PdfReader) -> int:
    return sum(len(page.images) for page in pdf.pages)


def test_pdf_has_the_pictures_their_verdicts_and_what_was_found(user_client, report, gallery):
    Asset.objects.filter(pk=gallery[0].pk).update(title="Ключ & <b>红色的鞋</b>")
    pdf = pdf_of(user_client, report)
    text = text_of(pdf)
    for told in (
        "Match report", "ann · 4 pictures · 2 found", "Near: closer than", "picture-0.jpg", "Found: Identical",
        "copy-1.webp", "Found: Same picture", "broken.jpg", "Refused: This is no picture we can read", "Ключ & <b>",
    ):  # fmt: skip
        assert told in text
    assert "红色的鞋" in text.replace(" ", "")
    found = {hit["asset"] for entry in report.entries.all() for hit in entry.hits}
    assert found == {asset.pk for asset in gallery}
    assert pictures_in(pdf) == 3 + len(found)  # each once, wherever it stands


def test_pdf_of_one_verdict_has_no_other(user_client, report):
    text = text_of(pdf_of(user_client, report, "?show=found"))
    assert "copy-1.webp" in text
    assert "broken.jpg" not in text


def test_pdf_leaves_blank_what_the_storage_has_not(user_client, report, gallery):
    before = pictures_in(pdf_of(user_client, report))
    gallery[0].thumbnail.storage.delete(gallery[0].thumbnail.name)
    assert pictures_in(pdf_of(user_client, report)) == before - 1


def test_pdf_is_not_made_with_blanks_while_the_storage_is_down(user_client, report, monkeypatch):
    def is_down(*_):
        raise StorageUnavailable

    monkeypatch.setattr(LastingStorage, "_open", is_down)
    answer = user_client.get(f"{report.get_absolute_url()}report.pdf")
    assert answer.status_code == 503
    assert "The storage of files cannot be reached" in answer.content.decode()


def test_pdf_of_many_has_numbered_pages_and_rows_in_one_piece(user_client, report):
    report.entries.all().delete()
    names = [f"{place:03} {'long ' * 50}.jpg" for place in range(60)]
    report_making.add(report, [Entry(name=name, width=4, height=3, similarity=0.5) for name in names])
    pages = [" ".join(page.extract_text().split()) for page in pdf_of(user_client, report).pages]
    assert len(pages) > 4
    for number, text in enumerate(pages, start=1):
        assert re.search(rf"(^| ){number}( |$)", text)
        assert len(re.findall(r"\b0\d\d long", text)) == text.count("No close match")


# --- whose it is ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "report.csv", "report.json", "report.pdf", "sheet/", "{entry}/picture.jpg"])
def test_report_is_its_owners_alone(client, stranger_client, staff_client, report, path):
    path = report.get_absolute_url() + path.format(entry=report.entries.order_by("pk").first().pk)
    assert stranger_client.get(path).status_code == 404
    assert staff_client.get(path).status_code == 200
    assert client.get(path).status_code == 302


def test_strangers_change_nothing(client, stranger_client, report, settings):
    settings.PUBLIC_READ = True
    for path in ("", "delete/", f"{report.entries.first().pk}/"):
        assert stranger_client.post(report.get_absolute_url() + path).status_code == 404
        assert client.post(report.get_absolute_url() + path).status_code == 302
    assert client.post(REPORTS, {"picture": file_of(1)}).status_code == 302
    assert Report.objects.count() == 1


def test_owner_deletes_it(user_client, report):
    user_client.post(f"{report.get_absolute_url()}delete/")
    assert not Entry.objects.exists()


def test_report_lives_for_a_day(user_client, report):
    Report.objects.update(created=timezone.now() - LIFETIME - timedelta(seconds=1))
    assert user_client.get(report.get_absolute_url()).status_code == 404
    assert report.get_absolute_url() not in user_client.get(REPORTS).content.decode()
    tasks.sweep()
    assert not Report.objects.exists()


# --- as files -------------------------------------------------------------------------------------------------


def test_csv_has_a_line_for_each_picture(user_client, report, gallery):
    answer = user_client.get(f"{report.get_absolute_url()}report.csv")
    assert answer["Content-Disposition"] == f'attachment; filename="report-{report.pk}.csv"'
    lines = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [line["verdict"] for line in lines] == ["found", "found", "missing", "refused"]
    assert lines[0]["picture"] == "picture-0.jpg"
    assert lines[0]["asset"] == str(gallery[0].pk)
    assert lines[0]["asset_url"] == f"http://testserver{gallery[0].get_absolute_url()}"
    assert lines[3]["reason"]


def test_small_gallery_is_told_to_be_judged_by_similarity(user_client, report):
    """In whose reports no level is asked of anything, whichever is chosen."""
    pages = [user_client.get(f"{report.get_absolute_url()}{page}").content.decode() for page in ("", "sheet/")]
    assert all("near is a similarity of 0.9 or more, whatever the level" in page for page in pages)
    report.entries.filter(closer_than=None).update(closer_than=0.5)
    assert "whatever the level" not in user_client.get(report.get_absolute_url()).content.decode()


def test_csv_holds_no_formulas(user_client, report):
    Entry.objects.filter(code="").update(name="=1+1.jpg")
    page = user_client.get(f"{report.get_absolute_url()}report.csv").content.decode("utf-8-sig")
    assert next(csv.DictReader(io.StringIO(page)))["picture"] == "'=1+1.jpg"


def test_json_has_all_hits(user_client, report, gallery):
    told = json.loads(user_client.get(f"{report.get_absolute_url()}report.json").content)
    assert (told["near_from"], told["near_from_similarity"]) == (report.level, 0.9)
    found, _, missing, refused = told["pictures"]
    assert found["results"][0]["asset"]["id"] == gallery[0].pk
    assert found["results"][0]["match"] == "identical"
    assert len(missing["results"]) == 4
    assert refused["error"]["code"] == "unsupported_type"


def test_exports_hold_what_is_shown(user_client, report):
    told = json.loads(user_client.get(f"{report.get_absolute_url()}report.json?show=missing").content)
    assert [picture["verdict"] for picture in told["pictures"]] == ["missing"]


def test_sheet_holds_everything(user_client, report):
    page = user_client.get(f"{report.get_absolute_url()}sheet/").content.decode()
    for entry in report.entries.all():
        assert entry.name in page
    assert "2 found" in page


# --- without keeping anything -----------------------------------------------------------------------------------


def test_do_we_have_these_says_and_stores_nothing(user_client, gallery, settings):
    before = (Asset.objects.count(), Embedding.objects.count(), sum(1 for _ in settings.MEDIA_ROOT.rglob("*")))
    page = user_client.post(HAVE, {"picture": [file_of(0), copy_of(1), file_of(9), broken()]}).content.decode()
    assert [page.count(f'data-verdict="{one}"') for one in ("found", "missing", "refused")] == [2, 1, 1]
    assert page.count('src="data:image/jpeg;base64,') == 3
    after = (Asset.objects.count(), Embedding.objects.count(), sum(1 for _ in settings.MEDIA_ROOT.rglob("*")))
    assert before == after
    assert not Report.objects.exists()
    assert not Entry.objects.exists()
    assert not RecentQuery.objects.exists()


def test_do_we_have_these_tells_a_script_what_files_are_to_hold(user_client, gallery):
    answer = user_client.post(HAVE, {"picture": file_of(0)}, headers=HTMX)
    section = answer.content.decode()
    assert section.count('<li class="section') == 1
    assert "<html" not in section
    assert "picture-0.jpg,,found,identical" in section
    assert "&quot;verdict&quot;: &quot;found&quot;" in section


def test_do_we_have_these_is_for_members(client, user_client, encoder, settings):
    settings.PUBLIC_READ = True
    assert client.get(HAVE).status_code == 302
    answer = user_client.post(HAVE, {}, headers={**HTMX, **JSON})
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid"
    assert "Choose pictures" in user_client.post(HAVE, {}).content.decode()
