import pytest

from gallery.models import Collection, Tag
from search.models import Rule
from tests.search.test_admin import RULES, make_rule


@pytest.fixture
def red(db):
    return Tag.objects.create(name="red")


@pytest.fixture
def campaign(user):
    return Collection.objects.create(name="Campaign", owner=user)


def add(client, **fields):
    return client.post(f"{RULES}add/", {"amount": "0", "is_enabled": "on", **fields})


def errors(response):
    return " ".join(message for messages in response.context["adminform"].form.errors.values() for message in messages)


def test_rule_is_added_for_a_tag(staff_client, red):
    assert add(staff_client, action="boost", tag=red.pk, amount="0.05", note="Spring").status_code == 302
    rule = Rule.objects.get()
    assert (rule.action, rule.tag, rule.collection, rule.amount) == ("boost", red, None, 0.05)
    assert rule.is_enabled


def test_rule_is_added_for_a_collection(staff_client, campaign):
    assert add(staff_client, action="hide", collection=campaign.pk).status_code == 302
    assert Rule.objects.get().collection == campaign


def test_rule_is_for_a_tag_or_a_collection_and_not_for_both_or_none(staff_client, red, campaign):
    for fields in ({}, {"tag": red.pk, "collection": campaign.pk}):
        assert "Choose either a tag or a collection." in errors(add(staff_client, action="pin", **fields))
    assert not Rule.objects.exists()


@pytest.mark.parametrize(
    ("action", "amount", "said"),
    [
        ("boost", "0", "Say how much"),
        ("boost", "1.5", "from -1 to 1"),
        ("boost", "-1.5", "from -1 to 1"),
        ("boost", "nan", "Enter a number"),
        ("pin", "0.1", "Only a boost has an amount"),
        ("hide", "-0.1", "Only a boost has an amount"),
        ("nonsense", "0", "Select a valid choice"),
    ],
)
def test_amount_is_for_boosts_and_within_one(staff_client, red, action, amount, said):
    assert said in errors(add(staff_client, action=action, tag=red.pk, amount=amount))
    assert not Rule.objects.exists()


def test_rules_are_switched_on_and_off_in_the_list(staff_client):
    rule = make_rule(1)
    form = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": rule.pk, "_save": "Save"}
    staff_client.post(RULES, form)
    assert not Rule.objects.enabled().exists()
    staff_client.post(RULES, {**form, "form-0-is_enabled": "on"})
    assert Rule.objects.enabled().get() == rule


@pytest.mark.parametrize(
    ("query", "found"), [("q=tag-1", 1), ("q=because", 1), ("q=zebra", 0), ("action__exact=hide", 1)]
)
def test_rules_are_found(staff_client, query, found):
    make_rule(1, note="because")
    make_rule(2, action="hide")
    assert len(staff_client.get(f"{RULES}?{query}").context["cl"].result_list) == found


@pytest.mark.parametrize(("model", "field"), [("tag", "tag"), ("collection", "collection")])
def test_tags_and_collections_are_offered_as_they_are_typed(staff_client, red, campaign, model, field):
    page = staff_client.get(f"{RULES}add/").content.decode()
    assert f'data-field-name="{field}"' in page
    asked = {
        "app_label": "search",
        "model_name": "rule",
        "field_name": field,
        "term": str(red if model == "tag" else campaign)[:3],
    }
    offered = staff_client.get("/admin/autocomplete/", asked).json()["results"]
    assert [one["text"] for one in offered] == ["red" if model == "tag" else "Campaign"]


def test_rules_are_changed_by_those_who_may_alone(clerk_client):
    rule = make_rule(1)
    assert clerk_client.get(RULES).status_code == 200
    assert clerk_client.get(f"{RULES}add/").status_code == 403
    assert clerk_client.post(f"{RULES}{rule.pk}/change/", {"action": "hide"}).status_code == 403
    rule.refresh_from_db()
    assert rule.action == Rule.Action.PIN
