"""Who may download which original, with PUBLIC_READ: what it tells of places and people is not told to strangers."""

import pytest
from django.urls import reverse

from gallery.models import Asset

PLACE = {"latitude": 48.2, "longitude": 16.4}
TELLING = [(PLACE, "where it was taken"), ({"format": "DICOM"}, "whose scan it is")]


@pytest.fixture(autouse=True)
def public(settings):
    settings.PUBLIC_READ = True


def told(asset, **values):
    """One whose original tells so much."""
    made = asset()
    Asset.objects.filter(pk=made.pk).update(**values)
    return made


def page_of(client, asset):
    return client.get(asset.get_absolute_url()).content.decode()


def link(asset):
    return reverse("gallery:download", args=[asset.pk])


@pytest.mark.parametrize(("values", "words"), TELLING)
def test_stranger_gets_no_original_that_tells(client, asset, values, words):
    shown = told(asset, **values)
    refused = client.get(link(shown))
    assert refused.status_code == 403
    assert f"The original says {words}. Sign in to download it." in refused.content.decode()
    refused = client.get(reverse("api:asset-download", args=[shown.pk]))
    assert refused.status_code == 403
    assert refused.json() == {"code": "forbidden", "detail": f"The original says {words}. Sign in to download it."}
    page = page_of(client, shown)
    assert link(shown) not in page
    assert "Sign in to download" in page
    assert client.get(reverse("gallery:preview", args=[shown.pk])).status_code == 200


@pytest.mark.parametrize(("values", "words"), TELLING)
def test_member_gets_every_original(stranger_client, asset, values, words):
    shown = told(asset, **values)
    assert stranger_client.get(link(shown)).status_code == 200
    assert link(shown) in page_of(stranger_client, shown)


def test_stranger_gets_an_original_that_tells_nothing(client, asset):
    shown = asset()
    assert client.get(link(shown)).status_code == 200
    assert client.get(reverse("api:asset-download", args=[shown.pk])).status_code == 200
    assert link(shown) in page_of(client, shown)


def test_stranger_is_signed_in_from_among_the_hits(client, asset, encoder):
    from search import pipeline

    shown, other = told(asset, **PLACE), asset(2)
    pipeline.embed([shown.pk, other.pk], encoder)
    page = client.get(reverse("search:search"), {"asset": other.pk}).content.decode()
    assert link(shown) not in page
    assert "Sign in to download" in page
