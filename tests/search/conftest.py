"""What tests of search's admin stand on."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from search import tuning
from search.models import Encoder


@pytest.fixture
def tuned_soon(monkeypatch):
    """Most of what a build takes is asking questions to tune it: here it is tuned for fewer depths, by fewer."""
    monkeypatch.setattr(tuning, "_DEPTHS", (10, 50, 250))
    monkeypatch.setattr(tuning, "_FOR_DEEP", 20)
    monkeypatch.setattr(tuning, "_FOR_FILTERS", 20)
    monkeypatch.setattr(tuning, "_FOR_TIMES", 10)


@pytest.fixture
def serving(db):
    """An encoder that serves, as a row: nothing can be embedded with it."""
    return Encoder.objects.create(
        name="encoder-1000", revision="1" * 40, dimensions=4, preprocessing=1, is_active=True, work="fill"
    )


@pytest.fixture
def clerk_client(db):
    """Staff that may look at all of search, and no more."""
    clerk = User.objects.create_user("dan", is_staff=True)
    clerk.user_permissions.set(
        Permission.objects.filter(content_type__app_label="search", codename__startswith="view_")
    )
    client = Client()
    client.force_login(clerk)
    return client
