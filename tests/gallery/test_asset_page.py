"""What a page of an asset offers: changes in place, and the original in other sizes."""

import io
from collections.abc import Callable

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from PIL import Image

from gallery.models import Asset, Collection
from gallery.uploads import store_upload

Make = Callable[..., Asset]
HTMX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/assets/1/"}


@pytest.fixture
def large(user, picture: Callable[..., SimpleUploadedFile]) -> Asset:
    return store_upload(picture(1, name="Red shoe.png", size=(1200, 600), format="PNG"), user).asset


def names(asset: Asset) -> list[str]:
    return sorted(tag.name for tag in asset.tags.all())


# --- in place ---------------------------------------------------------------------------------------------------


def test_tags_that_are_kept_and_tags_that_are_typed_become_its_tags(user_client: Client, asset: Make) -> None:
    made = asset(1, title="Shoe", tags=["red", "old"])
    given = {"title": "Shoe", "collection": "", "tags": ["red", "new, large"]}
    user_client.post(reverse("gallery:edit", args=[made.pk]), given)
    assert names(made) == ["large", "new", "red"]


def test_change_in_place_answers_with_the_form_and_a_way_to_undo(user_client: Client, asset: Make) -> None:
    made = asset(1, title="Shoe")
    answer = user_client.post(
        reverse("gallery:edit", args=[made.pk]), {"title": "Boot", "collection": "Spring", "tags": "red"}, headers=HTMX
    )
    told = answer.content.decode()
    assert ">Boot</textarea>" in told
    assert Collection.objects.get(name="Spring").get_absolute_url() in told
    assert 'hx-swap-oob="beforeend:#toasts"' in told
    assert 'value="/assets/1/"' in told
    assert f'"ids": [{made.pk}]' in answer["HX-Trigger"]
    assert "<html" not in told


def test_title_is_one_line(user_client: Client, asset: Make) -> None:
    made = asset(1, title="Shoe")
    user_client.post(reverse("gallery:edit", args=[made.pk]), {"title": "One\r\nline,  not two "}, headers=HTMX)
    made.refresh_from_db()
    assert made.title == "One line, not two"


def test_change_in_place_that_is_refused_says_why(user_client: Client, asset: Make) -> None:
    made = asset(1, title="Shoe")
    answer = user_client.post(reverse("gallery:edit", args=[made.pk]), {"title": "", "tags": "typed"}, headers=HTMX)
    assert (answer.status_code, answer["X-Refused"]) == (400, "invalid")
    assert 'value="typed"' in answer.content.decode()
    made.refresh_from_db()
    assert made.title == "Shoe"


def test_page_offers_changes_to_who_may_make_them(user_client: Client, stranger_client: Client, asset: Make) -> None:
    made = asset(1, title="Shoe", tags=["red"])
    edit = reverse("gallery:edit", args=[made.pk])
    assert edit in user_client.get(made.get_absolute_url()).content.decode()
    page = stranger_client.get(made.get_absolute_url()).content.decode()
    assert edit not in page
    assert "red" in page


def test_page_takes_few_queries(user_client: Client, asset: Make, django_assert_max_num_queries) -> None:
    made = asset(1, tags=["a", "b", "c"])
    with django_assert_max_num_queries(12):
        user_client.get(made.get_absolute_url())


def test_facts_for_the_lightbox_are_a_fragment_and_else_lead_to_the_page(user_client: Client, asset: Make) -> None:
    made = asset(1, title="Shoe", tags=["red"])
    address = reverse("gallery:facts", args=[made.pk])
    told = user_client.get(address, headers=HTMX).content.decode()
    assert "Shoe" in told
    assert "red" in told
    assert user_client.get(address)["Location"] == made.get_absolute_url()


# --- sizes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "made"), [(1000, (1000, 500)), (500, (500, 250)), (2000, (1200, 600))])
def test_smaller_size_is_a_jpeg_of_that_long_edge_and_never_larger_than_the_original(
    user_client: Client, large: Asset, size: int, made: tuple[int, int]
) -> None:
    answer = user_client.get(reverse("gallery:download", args=[large.pk]), {"size": size})
    image = Image.open(io.BytesIO(answer.content))
    assert (image.format, image.size) == ("JPEG", made)
    assert answer["Content-Disposition"] == f'attachment; filename="Red shoe {size} px.jpg"'


def test_page_offers_the_sizes_that_are_smaller(user_client: Client, large: Asset) -> None:
    page = user_client.get(large.get_absolute_url()).content.decode()
    assert "?size=1000" in page
    assert "?size=500" in page
    assert "?size=2000" not in page


@pytest.mark.parametrize("size", ["", "0", "999", "1e3", "99999999"])
def test_size_that_is_not_offered_is_not_found(user_client: Client, large: Asset, size: str) -> None:
    assert user_client.get(reverse("gallery:download", args=[large.pk]), {"size": size}).status_code == 404


def test_sizes_are_for_whom_the_settings_let_have_originals(client: Client, large: Asset, settings) -> None:
    settings.PUBLIC_READ = True
    address = reverse("gallery:download", args=[large.pk])
    assert client.get(address, {"size": 500}).status_code == 403
    settings.PUBLIC_ORIGINALS = True
    assert client.get(address, {"size": 500}).status_code == 200


def test_size_of_an_original_that_is_missing_is_not_found(user_client: Client, large: Asset) -> None:
    large.original.storage.delete(large.original.name)
    assert user_client.get(reverse("gallery:download", args=[large.pk]), {"size": 500}).status_code == 404


def test_size_tells_nothing_of_what_the_file_says(user_client: Client, user) -> None:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x010F] = "Secret camera"
    Image.new("RGB", (900, 600), "red").save(buffer, "JPEG", exif=exif)
    made = store_upload(SimpleUploadedFile("a.jpg", buffer.getvalue()), user).asset
    answer = user_client.get(reverse("gallery:download", args=[made.pk]), {"size": 500})
    assert b"Secret" in buffer.getvalue()
    assert b"Secret" not in answer.content
