import re

import pytest

from search.models import Evaluation
from tests.search.test_admin import queries_of

EVALUATIONS = "/admin/search/evaluation/"


def make(problem="shoes", precision=0.5, **fields):
    told = {"precision@1": precision, "precision@10": 0.4, "map@10": 0.3, "ndcg@10": None}
    return Evaluation.objects.create(
        **{
            "problem": problem, "encoder": "descriptor", "metric": "cosine", "index": "exact",
            "protocol": "leave-one-out", "queries": 10, "database": 10, "metrics": told,
            "intervals": {}, "classes": {"boots": told, "heels": told}, **fields,
        }
    )  # fmt: skip


def compare(client, *evaluations):
    chosen = {"action": "compare", "_selected_action": [one.pk for one in evaluations]}
    return client.post(EVALUATIONS, chosen, follow=True).content.decode()


def test_evaluations_are_listed_with_what_was_found(staff_client):
    make(precision=0.625)
    page = staff_client.get(EVALUATIONS).content.decode()
    for shown in ("shoes", "descriptor", "cosine", "0.625", "0.400", ">-<"):
        assert shown in page


def test_two_are_compared_the_earlier_first(staff_client):
    earlier, later = make(precision=0.5), make(precision=0.625)
    page = compare(staff_client, later, earlier)
    assert page.index("0.500") < page.index("0.625") < page.index("+0.125")
    assert "boots" in page


def test_measures_stand_in_their_order_and_counts_are_none(staff_client):
    metrics = {"precision@10": 0.1, "precision@5": 0.2, "map": 0.3, "queries": 2}
    page = compare(staff_client, make(metrics=metrics), make(metrics=metrics))
    assert re.findall(r'<th scope="row">(.*?)</th>', page) == ["map", "precision@5", "precision@10", "boots", "heels"]


@pytest.mark.parametrize("count", [1, 3])
def test_only_two_can_be_compared(staff_client, count):
    assert "Select two evaluations" in compare(staff_client, *(make() for _ in range(count)))


def test_who_may_only_look_compares_and_deletes_nothing(clerk_client):
    one, other = make(), make()
    assert "Means over queries" in compare(clerk_client, one, other)
    assert clerk_client.post(f"{EVALUATIONS}{one.pk}/delete/", {"post": "yes"}).status_code == 403


def test_stranger_sees_nothing(stranger_client):
    assert stranger_client.get(EVALUATIONS).status_code == 302


def test_number_of_queries_does_not_grow_with_the_list(staff_client):
    make()
    few, _ = queries_of(staff_client, EVALUATIONS)
    for _ in range(20):
        make()
    many, listed = queries_of(staff_client, EVALUATIONS)
    assert (len(many), listed) == (len(few), 21)
