import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from gallery.browsing import PAGE_SIZE
from gallery.models import Asset, Collection
from gallery.templatetags.display import percent, ratio_class
from gallery.uploads import store_upload
from search.models import Encoder

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
MOST_QUERIES = 12


@pytest.fixture(autouse=True)
def _no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Storing an asset queues its embedding; here nobody would do it."""
    monkeypatch.setattr("search.tasks.queue_asset", lambda asset_id: None)


@pytest.fixture
def many(user: User) -> list[Asset]:
    """More rows than a page shows, without files: enough for lists."""
    facts = {"owner": user, "format": "JPEG", "width": 400, "height": 300, "size_bytes": 1000}
    return Asset.objects.bulk_create(
        Asset(title=f"asset {number}", filename=f"{number}.jpg", sha256=f"{number:064}", **facts)
        for number in range(PAGE_SIZE + 20)
    )


def _upload(client: Client, *files: SimpleUploadedFile, accept: str = "application/json", **fields: str):
    return client.post(reverse("gallery:upload"), {"file": files, **fields}, headers={"Accept": accept})


# --- who comes in ---------------------------------------------------------------------------------------------

READ = ["gallery:gallery", "gallery:counts", "gallery:collections", "gallery:tags", "gallery:states"]


@pytest.mark.parametrize("name", [*READ, "gallery:upload"])
def test_page_sends_who_is_not_signed_in_to_the_login_and_back(client: Client, db: None, name: str) -> None:
    response = client.get(reverse(name) + "?q=a")

    assert response.status_code == 302
    assert response["Location"] == f"/login/?next={reverse(name)}%3Fq%3Da"


def test_fragment_sends_the_whole_page_to_the_login(client: Client) -> None:
    headers = {**HTMX, "HX-Current-URL": "http://testserver/gallery/?tag=red"}
    response = client.get(reverse("gallery:states"), headers=headers)

    assert response["HX-Redirect"] == "/login/?next=/gallery/%3Ftag%3Dred"


def test_upload_by_script_tells_who_is_not_signed_in(
    client: Client, picture: Callable[..., SimpleUploadedFile]
) -> None:
    response = _upload(client, picture())

    assert response.status_code == 401
    assert response.json()["code"] == "not_signed_in"


@pytest.mark.parametrize("name", READ)
def test_page_is_open_to_everyone_where_the_setting_says_so(client: Client, settings, name: str) -> None:
    settings.PUBLIC_READ = True

    assert client.get(reverse(name)).status_code in {200, 204}


def test_public_reading_opens_no_writing(client: Client, settings, asset: Callable[..., Asset]) -> None:
    settings.PUBLIC_READ = True
    stored = asset()

    for name in ("edit", "delete"):
        assert client.post(reverse(f"gallery:{name}", args=[stored.pk])).status_code == 302
    assert client.post(reverse("gallery:collections"), {"name": "new"}).status_code == 302
    assert client.get(reverse("gallery:upload")).status_code == 302
    assert Asset.objects.filter(pk=stored.pk).exists()
    assert not Collection.objects.exists()


# --- the gallery ----------------------------------------------------------------------------------------------


def test_gallery_shows_newest_first_with_room_reserved(user_client: Client, asset: Callable[..., Asset]) -> None:
    first, second = asset(1), asset(2)
    page = user_client.get(reverse("gallery:gallery")).content.decode()

    assert page.index(second.get_absolute_url()) < page.index(first.get_absolute_url())
    assert 'width="64"' in page
    assert "ratio-135" in page


def test_gallery_pages_by_key_until_all_were_shown(user_client: Client, many: list[Asset]) -> None:
    page = user_client.get(reverse("gallery:gallery"))
    rest = user_client.get(f"{reverse('gallery:gallery')}?{page.context['page'].later}", headers=HTMX)

    shown = [asset.pk for response in (page, rest) for asset in response.context["page"].assets]
    assert shown == sorted((asset.pk for asset in many), reverse=True)
    assert rest.context["page"].later == ""
    assert rest.templates[0].name == "gallery/_tiles.html"


@pytest.mark.parametrize("query", ["", "?q=asset&status=pending", "?collection=7"])
def test_gallery_takes_few_queries_however_full(
    user_client: Client, many: list[Asset], encoder: Encoder, django_assert_max_num_queries, query: str
) -> None:
    with django_assert_max_num_queries(MOST_QUERIES):
        user_client.get(reverse("gallery:gallery") + query)


def test_gallery_filters_and_carries_the_filters_on(user_client: Client, asset: Callable[..., Asset]) -> None:
    red, blue = asset(1, tags=["red"]), asset(2, tags=["blue"])
    response = user_client.get(reverse("gallery:gallery") + "?tag=red&q=&status=pending")

    assert response.context["page"].assets == [red]
    assert f"{red.get_absolute_url()}?tag=red&amp;status=pending" in response.content.decode()
    assert [(chip.value, chip.without) for chip in response.context["chips"]] == [
        ("red", "?status=pending"),
        ("Pending", "?tag=red"),
    ]
    assert blue.get_absolute_url() not in response.content.decode()


def test_gallery_shows_nothing_for_a_filter_it_cannot_understand(
    user_client: Client, asset: Callable[..., Asset]
) -> None:
    asset()
    response = user_client.get(reverse("gallery:gallery") + "?collection=nonsense")

    assert response.context["page"].assets == []
    assert "Clear filters" in response.content.decode()


def test_gallery_answers_a_fragment_to_htmx_and_the_page_to_history(user_client: Client) -> None:
    fragment = user_client.get(reverse("gallery:gallery"), headers=HTMX)
    page = user_client.get(reverse("gallery:gallery"), headers={**HTMX, "HX-History-Restore-Request": "true"})

    assert b"<html" not in fragment.content
    assert b"<html" in page.content
    assert "HX-Request" in page["Vary"]


@pytest.mark.parametrize("place", ["after", "before", "month"])
@pytest.mark.parametrize("value", ["x", "-1", "²", "9" * 5000, "987654", "2024-13"])
def test_gallery_refuses_a_place_that_there_is_not(user_client: Client, place: str, value: str) -> None:
    assert user_client.get(f"{reverse('gallery:gallery')}?{place}={value}").status_code == 404


def test_empty_gallery_says_how_to_fill_it(user_client: Client) -> None:
    assert reverse("gallery:upload") in user_client.get(reverse("gallery:gallery")).content.decode()


def test_states_answers_with_badges_of_what_is_pending_no_more(
    user_client: Client, asset: Callable[..., Asset]
) -> None:
    pending, ready = asset(1), asset(2)
    Asset.objects.filter(pk=ready.pk).update(status="ready")
    response = user_client.get(f"{reverse('gallery:states')}?ids={pending.pk},{ready.pk},987654")

    badges = response.content.decode()
    assert f"status-{ready.pk}" in badges
    assert "status-987654" in badges
    assert f"status-{pending.pk}" not in badges


@pytest.mark.parametrize("ids", ["", "x,y", "9" * 40])
def test_states_says_nothing_where_nothing_is_asked(user_client: Client, ids: str) -> None:
    assert user_client.get(f"{reverse('gallery:states')}?ids={ids}").status_code == 204


# --- one asset ------------------------------------------------------------------------------------------------


def test_asset_shows_its_facts_and_its_neighbours(
    user_client: Client, asset: Callable[..., Asset], encoder: Encoder, django_assert_max_num_queries
) -> None:
    older, shown, newer = asset(1), asset(2, title="Red <shoe>", tags=["leather"]), asset(3)
    with django_assert_max_num_queries(MOST_QUERIES):
        response = user_client.get(shown.get_absolute_url())

    page = response.content.decode()
    assert "Red &lt;shoe&gt;" in page
    assert "leather" in page
    assert shown.sha256 in page
    assert reverse("search:similar", args=[shown.pk]) in page
    assert (response.context["newer"], response.context["older"]) == (newer.pk, older.pk)


def test_asset_says_where_its_name_and_its_content_disagree(
    user_client: Client, user: User, picture: Callable[..., SimpleUploadedFile]
) -> None:
    stored = store_upload(picture(1, name="a.png"), user).asset

    assert stored.mismatch
    assert stored.mismatch in user_client.get(stored.get_absolute_url()).content.decode()


def test_asset_turns_among_what_the_filters_show(user_client: Client, asset: Callable[..., Asset]) -> None:
    older, _, shown = asset(1, tags=["red"]), asset(2), asset(3, tags=["red"])
    response = user_client.get(shown.get_absolute_url() + "?tag=red")

    assert (response.context["newer"], response.context["older"]) == (None, older.pk)


def test_asset_that_is_pending_refreshes_itself_and_stops_when_ready(
    user_client: Client, asset: Callable[..., Asset]
) -> None:
    shown = asset()
    assert b"every 2s" in user_client.get(shown.get_absolute_url(), headers=HTMX).content

    Asset.objects.update(status="ready")
    assert b"every 2s" not in user_client.get(shown.get_absolute_url(), headers=HTMX).content


def test_asset_that_failed_says_why_and_offers_its_owner_to_retry(
    user_client: Client, stranger_client: Client, asset: Callable[..., Asset]
) -> None:
    shown = asset()
    Asset.objects.update(status="failed", error="The encoder failed.")
    retry = reverse("search:retry", args=[shown.pk])

    page = user_client.get(shown.get_absolute_url()).content.decode()
    assert "The encoder failed." in page
    assert retry in page
    assert retry not in stranger_client.get(shown.get_absolute_url()).content.decode()


@pytest.mark.parametrize("name", ["asset", "edit", "download", "preview", "thumbnail"])
@pytest.mark.parametrize("asset_id", [987654, 9**30])
def test_asset_that_is_not_there_is_not_found(user_client: Client, name: str, asset_id: int) -> None:
    assert user_client.get(reverse(f"gallery:{name}", args=[asset_id])).status_code == 404


def test_download_sends_the_original_under_its_own_name(
    user_client: Client, picture: Callable[..., SimpleUploadedFile], asset: Callable[..., Asset]
) -> None:
    response = user_client.get(reverse("gallery:download", args=[asset(5).pk]))

    assert b"".join(response.streaming_content) == picture(5).read()
    assert response["Content-Disposition"] == 'attachment; filename="picture-5.jpeg"'
    assert response["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("redirect", ["", "/_media/"])
def test_original_is_in_no_shared_cache(
    user_client: Client, asset: Callable[..., Asset], settings: Any, redirect: str
) -> None:
    settings.MEDIA_REDIRECT = redirect
    response = user_client.get(reverse("gallery:download", args=[asset().pk]))
    assert response["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("name", ["preview", "thumbnail"])
def test_rendition_is_a_jpeg_that_caches_may_keep(user_client: Client, asset: Callable[..., Asset], name: str) -> None:
    response = user_client.get(reverse(f"gallery:{name}", args=[asset().pk]))

    assert response["Content-Type"] == "image/jpeg"
    assert "immutable" in response["Cache-Control"]
    assert b"".join(response.streaming_content).startswith(b"\xff\xd8")


# --- changing an asset ----------------------------------------------------------------------------------------


def test_edit_changes_title_collection_and_tags(user_client: Client, asset: Callable[..., Asset]) -> None:
    edited = asset(1, tags=["old"])
    given = {"title": "New", "collection": " Spring ", "tags": "Red,  big  shoe ,, red"}
    response = user_client.post(reverse("gallery:edit", args=[edited.pk]), given)

    edited.refresh_from_db()
    assert response["Location"] == edited.get_absolute_url()
    assert (edited.title, str(edited.collection)) == ("New", "Spring")
    assert sorted(tag.name.lower() for tag in edited.tags.all()) == ["big shoe", "red"]


def test_edit_finds_a_collection_whatever_its_case(
    user_client: Client, stranger: User, asset: Callable[..., Asset]
) -> None:
    spring = Collection.objects.create(name="Spring", owner=stranger)
    edited = asset()
    user_client.post(reverse("gallery:edit", args=[edited.pk]), {"title": "New", "collection": "SPRING"})

    edited.refresh_from_db()
    assert edited.collection == spring


@pytest.mark.parametrize(("field", "value"), [("title", ""), ("title", "x" * 301), ("tags", "x" * 101)])
def test_edit_refuses_bad_input_and_keeps_what_was_typed(
    user_client: Client, asset: Callable[..., Asset], field: str, value: str
) -> None:
    edited = asset(1, title="Old")
    given = {"title": "New", "tags": "typed", field: value}
    response = user_client.post(reverse("gallery:edit", args=[edited.pk]), given)

    edited.refresh_from_db()
    assert response.status_code == 400
    assert given["tags"] in response.content.decode()
    assert edited.title == "Old"


@pytest.mark.parametrize("name", ["edit", "delete"])
def test_change_is_forbidden_to_a_stranger_and_allowed_to_staff(
    stranger_client: Client, staff_client: Client, asset: Callable[..., Asset], name: str
) -> None:
    address = reverse(f"gallery:{name}", args=[asset(1, title="Old").pk])

    assert stranger_client.post(address).status_code == 403
    assert Asset.objects.kept().get().title == "Old"
    assert staff_client.post(address, {"title": "New"}).status_code == 302
    assert not Asset.objects.kept().filter(title="Old").exists()


# --- uploading ------------------------------------------------------------------------------------------------


def test_upload_by_script_adds_then_finds_the_identical(
    user_client: Client, user: User, picture: Callable[..., SimpleUploadedFile]
) -> None:
    added = _upload(user_client, picture(1, name="a.jpg"), collection="Spring", tags="red, blue")
    again = _upload(user_client, picture(1, name="b.jpg"))

    stored = Asset.objects.get()
    assert (added.status_code, again.status_code) == (201, 200)
    assert added.json() == {
        "id": stored.pk,
        "title": "a",
        "status": "pending",
        "url": stored.get_absolute_url(),
        "duplicate": False,
        "restored": False,
    }
    assert again.json() == {**added.json(), "duplicate": True}
    assert (stored.owner, str(stored.collection)) == (user, "Spring")
    assert sorted(tag.name for tag in stored.tags.all()) == ["blue", "red"]


@pytest.mark.parametrize(("content", "status", "code"), [(b"", 400, "empty"), (b"text", 415, "unsupported_type")])
def test_upload_by_script_says_why_a_file_is_refused(
    user_client: Client, content: bytes, status: int, code: str
) -> None:
    response = _upload(user_client, SimpleUploadedFile("a.jpg", content))

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.json()["detail"]
    assert not Asset.objects.exists()


def test_upload_by_script_refuses_bad_details(user_client: Client, picture: Callable[..., SimpleUploadedFile]) -> None:
    without_file = _upload(user_client)
    long_name = _upload(user_client, picture(), collection="x" * 201)

    for response in (without_file, long_name):
        assert (response.status_code, response.json()["code"]) == (400, "invalid")
    assert not Asset.objects.exists()


def test_upload_without_script_lists_what_became_of_each_file(
    user_client: Client, picture: Callable[..., SimpleUploadedFile]
) -> None:
    files = picture(1), SimpleUploadedFile("notes.txt", b"text"), picture(1, name="same.jpg")
    page = _upload(user_client, *files, accept="text/html").content.decode()

    assert Asset.objects.count() == 1
    assert "notes.txt" in page
    assert "unsupported_type" in page
    assert "Identical to" in page


def test_upload_takes_a_file_name_of_any_suffix(
    user_client: Client, picture: Callable[..., SimpleUploadedFile]
) -> None:
    assert _upload(user_client, picture(1, name="a." + "x" * 300)).status_code == 201
    assert Asset.objects.get().filename.endswith("xxx")


def test_upload_without_script_asks_for_a_file(user_client: Client) -> None:
    assert b"Choose at least one file" in _upload(user_client, accept="text/html").content


def test_upload_page_takes_few_queries(user_client: Client, encoder: Encoder, django_assert_max_num_queries) -> None:
    with django_assert_max_num_queries(MOST_QUERIES):
        user_client.get(reverse("gallery:upload"))


def test_upload_needs_a_csrf_token(user: User, picture: Callable[..., SimpleUploadedFile]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)

    assert _upload(client, picture()).status_code == 403


# --- the frame ------------------------------------------------------------------------------------------------


def test_page_holds_no_inline_script_or_style(user_client: Client, asset: Callable[..., Asset]) -> None:
    stored = asset()
    for address in (stored.get_absolute_url(), *(reverse(name) for name in [*READ[:3], "gallery:upload"])):
        page = user_client.get(address).content.decode()
        assert " style=" not in page
        assert "<style" not in page
        assert page.count("<script") == page.count("<script src=")


def test_htmx_runs_without_eval_or_styles_of_its_own(user_client: Client) -> None:
    page = user_client.get(reverse("gallery:gallery")).content.decode()
    config = page.split('name="htmx-config"')[1].split("content='")[1].split("'")[0]

    assert json.loads(config)["allowEval"] is False
    assert json.loads(config)["includeIndicatorStyles"] is False


def test_banner_says_that_the_built_in_encoder_serves_until_dismissed(
    user_client: Client, staff_client: Client, encoder: Encoder, settings
) -> None:
    settings.ENCODER = "dinov2-base"
    page = staff_client.get(reverse("gallery:tags")).content
    assert b"weights of dinov2-base could not be loaded" in page
    assert b"manage.py activate dinov2-base" in page
    page = user_client.get(reverse("gallery:tags")).content
    assert b"outline, colour and texture rather than meaning." in page
    assert b"manage.py" not in page, "which is for whoever runs it"

    user_client.post(reverse("search:dismiss_banner"))
    assert b"built-in encoder serves" not in user_client.get(reverse("gallery:tags")).content


def test_page_that_is_not_there_says_so_in_the_usual_frame(user_client: Client) -> None:
    response = user_client.get("/nowhere/")

    assert response.status_code == 404
    assert b"There is nothing here" in response.content


@pytest.mark.parametrize(
    ("width", "height", "expected"), [(400, 300, "ratio-135"), (1, 1, "ratio-100"), (9, 1, "ratio-300")]
)
def test_ratio_class_is_one_the_style_sheet_has(width: int, height: int, expected: str) -> None:
    assert ratio_class(Asset(width=width, height=height)) == expected


@pytest.mark.parametrize(("share", "expected"), [(0.5, "50.0%"), (-0.2, "0.0%"), (1.0001, "100.0%")])
def test_percent_stays_within_the_bar(share: float, expected: str) -> None:
    assert percent(share) == expected
