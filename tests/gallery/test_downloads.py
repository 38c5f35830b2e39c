"""Who may download originals, with PUBLIC_READ: what is written in them is not for strangers."""

import pytest
from django.urls import reverse

from gallery.models import Asset
from search import pipeline


@pytest.fixture(autouse=True)
def public(settings):
    settings.PUBLIC_READ = True


def page_of(client, asset):
    return client.get(asset.get_absolute_url()).content.decode()


def link(asset):
    return reverse("gallery:download", args=[asset.pk])


def test_stranger_gets_previews_alone(client, asset):
    shown = asset()
    refused = client.get(link(shown))
    assert refused.status_code == 403
    assert "Sign in to download originals." in refused.content.decode()
    refused = client.get(reverse("api:asset-download", args=[shown.pk]))
    assert refused.status_code == 403
    assert refused.json() == {"code": "forbidden", "detail": "Sign in to download originals."}
    page = page_of(client, shown)
    assert link(shown) not in page
    assert "Sign in to download" in page
    assert client.get(reverse("gallery:preview", args=[shown.pk])).status_code == 200


def test_member_gets_every_original(stranger_client, asset):
    shown = asset()
    assert stranger_client.get(link(shown)).status_code == 200
    assert link(shown) in page_of(stranger_client, shown)


def test_stranger_gets_originals_where_the_setting_says_so(client, asset, settings):
    settings.PUBLIC_ORIGINALS = True
    shown = asset()
    assert client.get(link(shown)).status_code == 200
    assert client.get(reverse("api:asset-download", args=[shown.pk])).status_code == 200
    assert link(shown) in page_of(client, shown)


def test_stranger_is_signed_in_from_among_the_hits(client, asset, encoder):
    shown, other = asset(), asset(2)
    pipeline.embed([shown.pk, other.pk], encoder)
    page = client.get(reverse("search:search"), {"asset": other.pk}).content.decode()
    assert link(shown) not in page
    assert "Sign in to download" in page


@pytest.mark.parametrize(
    ("facts", "sharper"),
    [
        ({"format": "JPEG", "height": 1601}, "{link}"),
        ({"format": "MPO", "height": 4000}, "{link}"),
        ({"format": "PNG", "height": 1600}, ""),
        ({"format": "HEIF", "height": 4000}, "{link}?size=2000"),
        ({"format": "HEIF", "height": 1900}, ""),  # the sizes made of it are no larger than its preview
    ],
)
def test_who_may_have_the_original_sees_more_than_the_preview(user_client, client, asset, facts, sharper):
    shown = asset()
    Asset.objects.update(width=900, **facts)
    assert f'data-sharper="{sharper.format(link=link(shown))}"' in page_of(user_client, shown)
    assert "data-sharper" not in page_of(client, shown)
