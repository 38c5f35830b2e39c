"""What narrows a search: filters with counts beside it, and chips above what was found."""

import pytest

from gallery.models import Collection
from search import pipeline

pytestmark = pytest.mark.django_db
FACETS = "/searches/facets/"


@pytest.fixture
def various(encoder, asset, user):
    shoes = Collection.objects.create(name="Shoes", owner=user)
    made = [asset(1, collection=shoes, tags=["red"]), asset(2, collection=shoes), asset(3, tags=["red"]), asset(4)]
    pipeline.embed_pending(encoder)
    return made


def test_facets_count_what_each_filter_leaves(user_client, various, django_assert_max_num_queries):
    with django_assert_max_num_queries(12):
        response = user_client.get(FACETS, {"asset": various[0].pk, "tag": "red", "k": "3"})
    counted = {facet.name: {value.label: value.count for value in facet.values} for facet in response.context["facets"]}

    assert counted["collection"] == {"Shoes": 1}
    assert counted["tag"] == {"red": 2}
    assert counted["format"] == {"JPEG": 2}
    assert "status" not in counted


def test_facets_are_for_readers_and_are_none_for_what_is_not_understood(client, user_client, various):
    assert client.get(FACETS).status_code == 302
    assert user_client.get(FACETS, {"collection": "nonsense"}).context["facets"] == []


def test_chips_tell_what_narrows_and_each_leads_to_the_search_without_it(user_client, various):
    first, second, *_ = various
    asked = f"asset={first.pk}&crop=0,0,0.5,1&plus={second.pk}&k=5&min_similarity=0.1&collapse=1&format=JPEG"
    response = user_client.get(f"/?{asked}")
    chips = {chip.label: chip for chip in response.context["chips"]}

    assert list(chips) == ["Region", "Similarity from", "Near-identical ones once", "Format"]
    assert chips["Similarity from"].value == "0.1"
    assert chips["Format"].without == "/?" + asked.removesuffix("&format=JPEG")
    assert chips["Region"].without == "/?" + asked.replace("&crop=0,0,0.5,1", "")
    assert chips["Format"].without.replace("&", "&amp;") in response.text


def test_each_tag_that_narrows_by_itself_is_given_up_by_itself(user_client, various):
    found = f"/?asset={various[0].pk}"
    chips = user_client.get(f"{found}&tag=red&tag=shoe&any_tag=a&any_tag=b&not_tag=hat").context["chips"]
    assert [(chip.value, chip.without) for chip in chips] == [
        ("red", f"{found}&tag=shoe&any_tag=a&any_tag=b&not_tag=hat"),
        ("shoe", f"{found}&tag=red&any_tag=a&any_tag=b&not_tag=hat"),
        ("a, b", f"{found}&tag=red&tag=shoe&not_tag=hat"),
        ("hat", f"{found}&tag=red&tag=shoe&any_tag=a&any_tag=b"),
    ]


def test_results_alone_come_with_the_parts_and_have_facets_counted_anew(user_client, various):
    headers = {"HX-Request": "true", "HX-Target": "results"}
    response = user_client.get("/", {"asset": various[0].pk, "plus": various[1].pk, "tag": "red"}, headers=headers)

    assert "narrowed" in response["HX-Trigger-After-Swap"]
    assert 'hx-swap-oob="true"' in response.text
    assert 'id="filters"' not in response.text
