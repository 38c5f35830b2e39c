from collections.abc import Callable

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, transaction
from django.test import Client

from gallery.models import Asset, Tag
from search import comparing, encoders, pipeline, stored
from search.compare_views import Judged
from search.encoders import registry
from search.models import Encoder, IndexBuild, Preference, RecentQuery, Rule
from tests.search.test_admin import make_build

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
MOST_QUERIES = 12
COMPARE, MARK, ANOTHER = "/compare/", "/compare/mark/", "/compare/another/"
SHA256 = "0" * 64

Picture = Callable[..., SimpleUploadedFile]


@pytest.fixture
def other(encoder: Encoder, mean_colour) -> Encoder:
    """Beside the one that serves."""
    return Encoder.objects.for_spec(encoders.spec("mean-colour"))


@pytest.fixture
def ready(asset: Callable[..., Asset], encoder: Encoder, other: Encoder) -> Callable[..., Asset]:
    """ready(seed): an asset embedded by both."""

    def make(seed: int = 0, **details: object) -> Asset:
        made = asset(seed, **details)
        for row in (encoder, other):
            pipeline.embed([made.pk], row)
        made.refresh_from_db()
        return made

    return make


def exact(row: Encoder) -> str:
    return f"{row.pk}-exact"


def nearest_ids(row: Encoder, asset: Asset, k: int) -> list[int]:
    """As numpy ranks what is stored."""
    vectors = stored.of(list(Asset.objects.values_list("pk", flat=True)), row)
    own = vectors.pop(asset.pk)
    return sorted(vectors, key=lambda pk: -np.dot(vectors[pk], own) / np.linalg.norm(vectors[pk]))[:k]


def found(response, side: int) -> list[int]:
    _, hits = response.context["found"].comparison.columns[side]
    return [compared.hit.asset.pk for compared in hits]


# --- the page -------------------------------------------------------------------------------------------------


def test_what_each_encoder_finds_stands_side_by_side_with_what_they_share(
    user_client: Client, ready: Callable[..., Asset], encoder: Encoder, other: Encoder
) -> None:
    first, *_ = [ready(seed) for seed in range(9)]
    response = user_client.get(COMPARE, {"asset": first.pk, "left": exact(encoder), "right": exact(other), "k": 3})

    left, right = nearest_ids(encoder, first, 3), nearest_ids(other, first, 3)
    assert (found(response, 0), found(response, 1)) == (left, right)
    common = len(set(left) & set(right))
    assert 0 < common < 3  # else the seeds are ill chosen
    page = response.content.decode()
    assert f"{common} of 3 in common" in page
    assert page.count("only here") == 2 * (3 - common)
    [(_, compared), _] = response.context["found"].comparison.columns
    assert [one.rank_there for one in compared] == [right.index(pk) + 1 if pk in right else None for pk in left]


def test_picture_from_outside_is_encoded_by_both(
    user_client: Client, ready: Callable[..., Asset], picture: Picture, encoder: Encoder, other: Encoder
) -> None:
    stored_ones = [ready(seed) for seed in range(3)]
    response = user_client.post(
        COMPARE, {"image": picture(2), "left": exact(encoder), "right": exact(other)}, headers=HTMX, follow=True
    )

    assert found(response, 0)[0] == found(response, 1)[0] == stored_ones[2].pk
    assert b"<html" not in response.content
    assert response.context["found"].sha256 == stored_ones[2].sha256


def test_index_is_compared_with_exact_search_of_the_same_encoder(
    user_client: Client, ready: Callable[..., Asset], encoder: Encoder, monkeypatch
) -> None:
    asset = ready(1)
    ready(2)
    serving = make_build(1, encoder, state=IndexBuild.State.READY)
    beside = make_build(2, encoder, state=IndexBuild.State.BESIDE, kind="hnsw")
    make_build(3, encoder, state=IndexBuild.State.REPLACED, kind="pca")
    names = [side.name for side in comparing.sides() if side.encoder == encoder]
    assert names == ["descriptor, ivfflat", "descriptor, hnsw", "descriptor, exact"]

    searched = []
    monkeypatch.setattr(
        comparing.query, "like_each", lambda parts, wanted, at: searched.append(at.build) or [comparing_answer(at)]
    )
    asked = {"asset": asset.pk, "left": f"{encoder.pk}-ivfflat", "right": f"{encoder.pk}-hnsw"}
    page = user_client.get(COMPARE, asked)
    assert page.status_code == 200
    assert searched == [serving, beside]
    assert b"answered by exact search" in page.content
    assert b'id="mark"' not in page.content


def comparing_answer(at):
    from search.answers import Answer, How

    return Answer(at.row.name, How(exact=True), [], {"encode": 0.0, "search": 0.0})


def test_rules_move_nothing_here(
    user_client: Client, ready: Callable[..., Asset], encoder: Encoder, other: Encoder
) -> None:
    asset = ready(1)
    hidden = ready(2, tags=["hidden"])
    Rule.objects.create(action="hide", tag=Tag.objects.get(name="hidden"))
    response = user_client.get(COMPARE, {"asset": asset.pk, "left": exact(encoder), "right": exact(other)})

    assert found(response, 0) == found(response, 1) == [hidden.pk]


def test_side_that_cannot_answer_says_so_and_the_other_answers(
    user_client: Client, ready: Callable[..., Asset], asset: Callable[..., Asset], encoder: Encoder, other: Encoder
) -> None:
    ready(1)
    new = asset(2)
    pipeline.embed([new.pk], encoder)
    response = user_client.get(COMPARE, {"asset": new.pk, "left": exact(encoder), "right": exact(other)})

    page = response.content.decode()
    assert len(found(response, 0)) == 1
    assert "still being analysed" in page
    assert "in common" not in page
    assert 'id="mark"' not in page


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"left": "{encoder}-exact", "right": "{encoder}-exact"}, "Choose another"),
        ({"left": "99-exact"}, "One way"),
        ({"k": "0"}, "How many"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(
    user_client: Client, ready: Callable[..., Asset], encoder: Encoder, asked: dict[str, str], said: str
) -> None:
    values = {name: value.format(encoder=encoder.pk) for name, value in asked.items()}
    response = user_client.get(COMPARE, {"asset": ready(1).pk, **values}, headers=HTMX)

    assert response.status_code == 400
    assert said in response.content.decode()
    assert response["X-Refused"]


def test_unreadable_picture_is_refused_once(user_client: Client, ready: Callable[..., Asset]) -> None:
    ready(1)
    response = user_client.post(COMPARE, {"image": SimpleUploadedFile("a.jpg", b"no picture")}, headers=HTMX)

    assert response.status_code == 415
    assert response.content.decode().count("no picture we can read") == 2  # once to read, once to be announced


def test_one_way_to_search_cannot_be_compared(user_client: Client, asset: Callable[..., Asset], encoder) -> None:
    assert b"No picture has been embedded" in user_client.get(COMPARE).content
    pipeline.embed([asset(1).pk], encoder)
    assert b"<strong>descriptor</strong>" in user_client.get(COMPARE).content


def test_first_it_offers_the_encoder_that_serves_and_another(
    user_client: Client, ready: Callable[..., Asset], encoder: Encoder, other: Encoder
) -> None:
    ready(1)
    form = user_client.get(COMPARE).context["form"]
    assert (form["left"].value(), form["right"].value()) == (exact(encoder), exact(other))


def test_comparing_is_for_members(client: Client, settings) -> None:
    settings.PUBLIC_READ = True
    for address in (COMPARE, ANOTHER):
        assert client.get(address).status_code == 302
    assert client.post(MARK).status_code == 302


def test_comparing_takes_few_queries(
    user_client: Client,
    ready: Callable[..., Asset],
    encoder: Encoder,
    other: Encoder,
    django_assert_max_num_queries,
) -> None:
    assets = [ready(seed) for seed in range(6)]
    with django_assert_max_num_queries(MOST_QUERIES):
        user_client.get(COMPARE, {"asset": assets[0].pk, "left": exact(encoder), "right": exact(other)})


def test_another_asset_that_both_know_is_compared_in_the_same_way(
    user_client: Client, ready: Callable[..., Asset], asset: Callable[..., Asset], encoder: Encoder, other: Encoder
) -> None:
    known = [ready(seed) for seed in range(3)]
    pipeline.embed([asset(7).pk], encoder)
    chosen = f"left={exact(encoder)}&right={exact(other)}&k=4"
    addresses = {user_client.get(f"{ANOTHER}?{chosen}")["Location"] for _ in range(40)}
    assert addresses == {f"{COMPARE}?{chosen}&asset={one.pk}" for one in known}


def test_encoder_that_has_not_seen_all_says_how_many(
    user_client: Client, ready: Callable[..., Asset], asset: Callable[..., Asset], encoder: Encoder
) -> None:
    ready(1)
    pipeline.embed([asset(7).pk], encoder)
    assert {side.name for side in comparing.sides()} == {"descriptor, exact", "mean-colour (50% embedded), exact"}


def test_encoder_that_is_not_known_any_more_is_refused_on_its_side(
    user_client: Client, ready: Callable[..., Asset], picture: Picture, other: Encoder, monkeypatch
) -> None:
    ready(1)
    encoder = Encoder.objects.active()
    monkeypatch.delitem(encoders.SPECS, "mean-colour")
    registry.forget()
    asked = {"image": picture(1), "left": exact(encoder), "right": exact(other)}
    response = user_client.post(COMPARE, asked, headers=HTMX, follow=True)
    assert len(found(response, 0)) == 1
    assert "No encoder" in response.content.decode()


def test_comparing_is_not_what_people_search_for(
    user_client: Client, ready: Callable[..., Asset], picture: Picture, encoder: Encoder, other: Encoder
) -> None:
    ready(1)
    user_client.post(COMPARE, {"image": picture(2), "left": exact(encoder), "right": exact(other)})
    assert not RecentQuery.objects.exists()


def test_there_is_no_other_asset_in_an_empty_gallery(user_client: Client) -> None:
    assert user_client.get(ANOTHER, {"k": "4"})["Location"] == f"{COMPARE}?k=4"


# --- blind ----------------------------------------------------------------------------------------------------


def test_blind_comparison_names_no_side_before_it_is_marked(
    user_client: Client, ready: Callable[..., Asset], encoder: Encoder, other: Encoder
) -> None:
    assets = [ready(seed) for seed in range(12)]
    asked = {"left": exact(encoder), "right": exact(other), "blind": "on"}
    orders = set()
    for asset in assets:
        response = user_client.get(COMPARE, {**asked, "asset": asset.pk}, headers=HTMX)
        again = user_client.get(COMPARE, {**asked, "asset": asset.pk}, headers=HTMX)
        page, comparison = response.content.decode(), response.context["found"].comparison
        assert "mean-colour" not in page
        assert "descriptor" not in page
        assert again.context["found"].comparison.left.side == comparison.left.side
        orders.add(comparison.left.side.name)
    assert orders == {"descriptor, exact", "mean-colour, exact"}


# --- marks ----------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(encoder: Encoder, other: Encoder) -> tuple[str, str]:
    """What marks call the two encoders, searched exactly."""
    return tuple(comparing.Side(row, None, "").identity for row in (encoder, other))


def mark(client: Client, left: str, right: str, better: str, *, sha256: str = SHA256, blind: bool = False):
    signed = Judged(sha256, left, right, blind).signed()
    return client.post(MARK, {"judged": signed, "better": better}, headers=HTMX)


def test_mark_is_kept_changed_and_taken_back(user_client: Client, stranger_client: Client, pair) -> None:
    one, other = pair
    assert f"{one} better 1," in " ".join(mark(user_client, one, other, "left").content.decode().split())
    mark(stranger_client, other, one, "right")  # the same two the other way round, and the same is better
    told = "first_count", "second_count", "alike_count", "marks", "people"
    assert Preference.objects.tallies().values_list("first", "second", *told).get() == (one, other, 2, 0, 0, 2, 2)

    mark(user_client, one, other, "right")
    assert Preference.objects.tallies().values_list(*told).get() == (1, 1, 0, 2, 2)
    mark(user_client, one, other, "alike")
    assert Preference.objects.tallies().values_list(*told).get() == (1, 0, 1, 2, 2)
    mark(user_client, one, other, "none")
    assert Preference.objects.tallies().values_list(*told).get() == (1, 0, 0, 1, 1)


def test_mark_is_blind_until_it_is_changed(user_client: Client, pair) -> None:
    mark(user_client, *pair, "left", blind=True)
    assert Preference.objects.tallies().get()["blind_marks"] == 1
    mark(user_client, *pair, "right", blind=True)
    assert Preference.objects.tallies().get()["blind_marks"] == 0


def test_mark_is_of_what_was_shown_and_shown_again(
    user_client: Client, ready: Callable[..., Asset], encoder: Encoder, other: Encoder, pair
) -> None:
    asset = ready(1)
    asked = {"asset": asset.pk, "left": exact(encoder), "right": exact(other)}
    page = user_client.get(COMPARE, asked)
    assert page.context["judged"] == Judged(asset.sha256, *pair, is_blind=False)

    user_client.post(MARK, {"judged": page.context["judged"].signed(), "better": "left"})
    response = user_client.get(COMPARE, asked)
    assert response.context["is_left"]
    assert response.content.decode().count('aria-pressed="true"') == 1


def test_tally_tells_how_likely_it_is_chance(user_client: Client, pair) -> None:
    for number in range(1, 8):
        mark(user_client, *pair, "left", sha256=f"{number:064x}")
    assert mark(user_client, *pair, "left").context["chance"] == pytest.approx(2 / 2**8)
    mark(user_client, *pair, "right")
    assert mark(user_client, *pair, "right").context["chance"] == pytest.approx(2 * 9 / 2**8)


def test_marks_are_of_a_version_and_outlive_it(user_client: Client, other: Encoder, pair) -> None:
    mark(user_client, *pair, "left")
    identity, other.revision = comparing.Side(other, None, "").identity, "another"
    other.save()
    assert comparing.Side(other, None, "").identity != identity == Preference.objects.tallies().get()["second"]
    other.delete()
    assert Preference.objects.tallies().get()["second"] == identity


@pytest.mark.parametrize("values", [{"judged": "made up"}, {"better": "neither"}, {"better": ""}])
def test_mark_that_makes_no_sense_is_refused(user_client: Client, pair, values: dict[str, str]) -> None:
    data = {"judged": Judged(SHA256, *pair, is_blind=False).signed(), "better": "left", **values}
    assert user_client.post(MARK, data).status_code == 400
    assert not Preference.objects.exists()


def test_mark_without_script_leads_back(user_client: Client, pair) -> None:
    data = {"judged": Judged(SHA256, *pair, is_blind=False).signed(), "better": "left"}
    assert user_client.post(MARK, {**data, "address": "asset=1&k=3"})["Location"] == f"{COMPARE}?asset=1&k=3"


def test_database_keeps_marks_to_the_two(user: User) -> None:
    for wrong in ({"better": "c"}, {"second": "a"}):
        names = {"first": "a", "second": "b", **wrong}
        with pytest.raises(IntegrityError), transaction.atomic():
            Preference.objects.create(user=user, query_sha256=SHA256, is_blind=False, **names)


def test_two_encoders_of_one_name_are_told_apart_by_number(ready: Callable[..., Asset], other: Encoder) -> None:
    asset = ready(1)
    newer = Encoder.objects.create(name=other.name, revision="2", dimensions=4, preprocessing=1)
    pipeline.claim([asset.pk], newer)
    pipeline.store(newer, {asset.pk: np.array([1, 0, 0, 0], np.float32)})
    assert len({side.identity for side in comparing.sides()}) == 3
    names = {side.name for side in comparing.sides()}
    assert names == {"descriptor, exact", f"mean-colour {other.pk}, exact", f"mean-colour {newer.pk}, exact"}
