"""What tests of search's admin stand on."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from search.models import Encoder


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
