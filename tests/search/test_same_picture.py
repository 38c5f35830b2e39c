from collections.abc import Callable

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from gallery.errors import Code, Refused
from gallery.models import Asset, Tag
from gallery.perceptual_hash import hamming
from gallery.uploads import store_upload
from search import pipeline
from search.models import RecentQuery, Rule
from search.pictures import Picture
from search.same_picture import MOST_BITS_APART, identical_to, same_as
from tests.conftest import drawn, encoded

pytestmark = pytest.mark.django_db
SIZE = (640, 480)
CHECK = "/api/v1/assets/check/"
MOST_QUERIES = 12


def upload(image: Image.Image, name: str = "picture.jpg", **options: object) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, encoded(image, **options))


def copied(seed: int) -> SimpleUploadedFile:
    """The picture of that seed, smaller and as another kind of file."""
    return upload(drawn(seed, SIZE).resize((320, 240)), f"copy-{seed}.webp", format="WEBP")


def files_under(folder) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


@pytest.fixture
def stored(user, encoder) -> Callable[..., Asset]:
    """stored(seed or file): an asset that is ready."""

    def make(source: int | SimpleUploadedFile) -> Asset:
        file = upload(drawn(source, SIZE), f"picture-{source}.jpg") if isinstance(source, int) else source
        asset = store_upload(file, user).asset
        pipeline.embed([asset.pk], encoder)
        asset.refresh_from_db()
        return asset

    return make


@pytest.fixture
def gallery(stored) -> list[Asset]:
    return [stored(seed) for seed in range(4)]


def assets_of(matches) -> list[Asset]:
    return [match.asset for match in matches]


def assert_error(response, status, code):
    assert response.status_code == status
    assert response.json()["code"] == code
    assert response.json()["detail"]


# --- finding ----------------------------------------------------------------------------------------------------


def test_copy_shows_the_same_picture_as_its_original_alone(gallery, stored, user):
    copy = stored(copied(2))
    [match] = same_as(Picture(copy), user)
    assert match.asset == gallery[2]
    assert match.similarity >= 0.95
    assert match.bits_apart <= MOST_BITS_APART
    assert assets_of(same_as(Picture(gallery[2]), user)) == [copy]
    assert same_as(Picture(gallery[1]), user) == []


def test_copy_that_is_not_stored_is_told_and_leaves_nothing(gallery, user, settings):
    before = files_under(settings.MEDIA_ROOT)
    assert assets_of(same_as(Picture(copied(2)), user)) == [gallery[2]]
    assert same_as(Picture(copied(9)), user) == []
    assert Asset.objects.count() == 4
    assert not RecentQuery.objects.exists()
    assert files_under(settings.MEDIA_ROOT) == before


def test_identical_is_not_the_same_picture(gallery, stored, user):
    copy = stored(copied(2))
    again = Picture(upload(drawn(2, SIZE)))
    assert identical_to(again, user) == gallery[2]
    assert assets_of(same_as(again, user)) == [copy]
    assert identical_to(Picture(copied(3)), user) is None


def test_pictures_that_the_encoder_alone_finds_alike_are_told_apart(user, colour_encoder):
    a, b = (store_upload(upload(drawn(seed, SIZE)), user).asset for seed in (1, 2))
    pipeline.embed([a.pk, b.pk], colour_encoder)
    a.refresh_from_db()
    assert same_as(Picture(a), user) == []
    Asset.objects.filter(pk=b.pk).update(perceptual_hash=a.perceptual_hash)
    assert assets_of(same_as(Picture(a), user)) == [b]  # so it was the hash that told them apart


def test_pictures_of_one_colour_are_told_apart_by_the_encoder(stored, user):
    red, blue = (stored(upload(Image.new("RGB", (64, 64), colour))) for colour in ("red", "blue"))
    assert red.perceptual_hash == blue.perceptual_hash
    assert same_as(Picture(red), user) == []


def test_hash_of_an_older_asset_is_made_up_for_and_kept(gallery, stored, user):
    copy = stored(copied(2))
    Asset.objects.update(perceptual_hash=None)
    copy.refresh_from_db()
    assert assets_of(same_as(Picture(copy), user)) == [gallery[2]]
    kept = dict(Asset.objects.exclude(perceptual_hash=None).values_list("pk", "perceptual_hash"))
    assert set(kept) == {gallery[2].pk, copy.pk}  # what is compared, and no more
    assert hamming(kept[gallery[2].pk], gallery[2].perceptual_hash) <= 4


def test_older_asset_without_its_preview_spoils_no_comparison(gallery, stored, user):
    copy = stored(copied(2))
    Asset.objects.filter(pk=gallery[2].pk).update(perceptual_hash=None)
    gallery[2].preview.storage.delete(gallery[2].preview.name)
    assert same_as(Picture(copy), user) == []


def test_what_a_rule_hides_from_searches_is_there_all_the_same(gallery, user):
    [tag] = Tag.objects.named(["withdrawn"])
    gallery[2].tags.add(tag)
    Rule.objects.create(action=Rule.Action.HIDE, tag=tag)
    assert assets_of(same_as(Picture(copied(2)), user)) == [gallery[2]]


def test_what_the_viewer_may_not_see_is_not_told(gallery, settings):
    settings.PUBLIC_READ = False
    assert same_as(Picture(copied(2)), AnonymousUser()) == []
    assert identical_to(Picture(upload(drawn(2, SIZE))), AnonymousUser()) is None


def test_pending_asset_is_compared_with_nothing_yet(gallery, user):
    pending = store_upload(copied(2), user).asset
    with pytest.raises(Refused) as refused:
        same_as(Picture(pending), user)
    assert refused.value.code == Code.NOT_SEARCHABLE


def test_photographs_are_told_from_their_copies(shared, stored, user):
    """Twelve photographs of the two sets; docs/uploads.md has what all of them gave."""
    photographs = [Image.open(path).convert("RGB") for path in sorted((shared / "photos").rglob("*.jpg"))[::120]]
    assets = [stored(upload(photograph, format="PNG")) for photograph in photographs]
    for asset, photograph in zip(assets, photographs, strict=True):
        width, height = photograph.size
        quarter = photograph.resize((width // 4, height // 4))
        cropped = photograph.crop((width // 200, height // 200, width - width // 200, height - height // 200))
        for copy in (upload(quarter), upload(photograph, quality=30), upload(cropped)):
            assert assets_of(same_as(Picture(copy), user)) == [asset]
        assert same_as(Picture(asset), user) == []


# --- the API ----------------------------------------------------------------------------------------------------


def test_check_tells_of_each_picture_what_is_there(api, gallery):
    broken = SimpleUploadedFile("broken.jpg", b"no picture")
    files = [upload(drawn(1, SIZE), "again.jpg"), copied(2), upload(drawn(9, SIZE), "new.jpg"), broken]
    answer = api.post(CHECK, {"file": files}, format="multipart")
    assert answer.status_code == 200
    again, copy, new, refused = answer.json()
    assert [one["filename"] for one in answer.json()] == ["again.jpg", "copy-2.webp", "new.jpg", "broken.jpg"]
    assert again["identical"]["id"] == gallery[1].pk
    assert again["same_picture"] == []
    assert copy["identical"] is None
    [match] = copy["same_picture"]
    assert match["asset"]["id"] == gallery[2].pk
    assert match["similarity"] >= 0.95
    assert match["bits_apart"] <= MOST_BITS_APART
    assert (new["identical"], new["same_picture"], new["error"]) == (None, [], None)
    assert refused["error"]["code"] == "unsupported_type"
    assert refused["error"]["detail"]
    assert Asset.objects.count() == 4


def test_check_tells_of_the_identical_without_an_encoder(api, asset, picture):
    there = asset(1)
    [answer] = api.post(CHECK, {"file": picture(1)}, format="multipart").json()
    assert answer["identical"]["id"] == there.pk
    assert answer["error"]["code"] == "encoder_unavailable"


def test_check_is_for_members(client, gallery, settings):
    settings.PUBLIC_READ = True
    assert_error(client.post(CHECK, {"file": copied(2)}), 401, "not_signed_in")


def test_check_refuses_what_holds_no_pictures_or_too_many(api, encoder):
    assert_error(api.post(CHECK, {}, format="multipart"), 400, "invalid")
    assert_error(api.post(CHECK, {"file": "text"}, format="multipart"), 400, "invalid")
    many = [SimpleUploadedFile("a.jpg", b"x") for _ in range(21)]
    assert_error(api.post(CHECK, {"file": many}, format="multipart"), 400, "invalid")
    assert_error(api.get(CHECK), 405, "method_not_allowed")


def test_check_takes_few_queries(api, gallery, django_assert_max_num_queries):
    with django_assert_max_num_queries(MOST_QUERIES):
        api.post(CHECK, {"file": copied(2)}, format="multipart")


def test_same_tells_the_copies_of_an_asset(api, gallery, stored, django_assert_max_num_queries):
    copy = stored(copied(2))
    with django_assert_max_num_queries(MOST_QUERIES):
        answer = api.get(f"/api/v1/assets/{gallery[2].pk}/same/")
    [match] = answer.json()["same_picture"]
    assert match["asset"]["id"] == copy.pk
    assert api.get(f"/api/v1/assets/{gallery[0].pk}/same/").json() == {"same_picture": []}


def test_same_is_refused_where_there_is_nothing_to_compare(api, client, gallery, user):
    pending = store_upload(copied(2), user).asset
    assert_error(api.get(f"/api/v1/assets/{pending.pk}/same/"), 409, "not_searchable")
    assert_error(api.get("/api/v1/assets/999999/same/"), 404, "not_found")
    assert_error(client.get(f"/api/v1/assets/{gallery[0].pk}/same/"), 401, "not_signed_in")


# --- the pages --------------------------------------------------------------------------------------------------


def test_asset_page_shows_the_same_picture(user_client, gallery, stored, django_assert_max_num_queries):
    copy = stored(copied(2))
    similar = user_client.get(f"/assets/{copy.pk}/similar/", headers={"HX-Request": "true"}).content.decode()
    assert f'hx-get="/assets/{copy.pk}/same/"' in similar
    with django_assert_max_num_queries(MOST_QUERIES):
        response = user_client.get(f"/assets/{copy.pk}/same/")
    told = response.content.decode()
    assert "Same picture as" in told
    assert f'href="/assets/{gallery[2].pk}/"' in told
    assert f'src="/assets/{gallery[2].pk}/thumbnail.jpg"' in told
    assert f"/assets/{gallery[1].pk}/" not in told


def test_asset_page_says_nothing_where_there_is_none(user_client, gallery, user):
    assert user_client.get(f"/assets/{gallery[2].pk}/same/").status_code == 204
    pending = store_upload(copied(2), user).asset
    assert user_client.get(f"/assets/{pending.pk}/same/").status_code == 204
    assert user_client.get("/assets/999999/same/").status_code == 404


def test_same_picture_is_told_to_readers_alone(client, gallery, settings):
    assert client.get(f"/assets/{gallery[2].pk}/same/").status_code == 302
    settings.PUBLIC_READ = True
    assert client.get(f"/assets/{gallery[2].pk}/same/").status_code == 204


def test_upload_page_checks_a_file(user_client, gallery, django_assert_max_num_queries):
    with django_assert_max_num_queries(MOST_QUERIES):
        found = user_client.post("/upload/check/", {"file": copied(2)}).json()
    assert found["identical"] is None
    assert f'href="/assets/{gallery[2].pk}/"' in found["same_picture"]
    found = user_client.post("/upload/check/", {"file": upload(drawn(2, SIZE))}).json()
    assert found["identical"]["url"] == f"/assets/{gallery[2].pk}/"
    assert found["identical"]["duplicate"]
    assert found["same_picture"] == ""
    found = user_client.post("/upload/check/", {"file": copied(9)}).json()
    assert found == {"identical": None, "same_picture": ""}
    assert Asset.objects.count() == 4


def test_upload_page_is_told_why_a_file_cannot_be_checked(user_client, client, encoder):
    broken = SimpleUploadedFile("broken.jpg", b"no picture")
    assert_error(user_client.post("/upload/check/", {"file": broken}), 415, "unsupported_type")
    assert_error(user_client.post("/upload/check/"), 400, "invalid")
    accepting = {"Accept": "application/json"}
    assert_error(client.post("/upload/check/", {"file": copied(2)}, headers=accepting), 401, "not_signed_in")
    assert user_client.get("/upload/check/").status_code == 405


def test_title_of_a_match_is_text(user_client, gallery):
    Asset.objects.filter(pk=gallery[2].pk).update(title="<script>alert(1)</script>")
    found = user_client.post("/upload/check/", {"file": copied(2)}).json()
    assert "<script>" not in found["same_picture"]
    assert "&lt;script&gt;" in found["same_picture"]
