"""Deleting users in the admin."""

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse
from django.utils.html import escape

from gallery import trash
from gallery.history import Act
from gallery.import_models import Import
from gallery.models import Asset, Collection
from search.models import SavedSearch
from tests.conftest import main_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def address(user: User) -> str:
    return reverse("admin:auth_user_delete", args=[user.pk])


def test_who_owns_assets_is_not_deleted_and_their_number_is_told(staff_client, user, asset, address):
    for seed in range(3):
        asset(seed, owner=user)
    trash.move_to_trash(Asset.objects.filter(pk=Asset.objects.latest("pk").pk), Act(user))
    page = main_of(staff_client.get(address))
    theirs = f"{reverse('admin:gallery_asset_changelist')}?owner__in={user.pk}&trash=any"
    assert f'Assets: <a href="{escape(theirs)}">3</a>. Hand them over to another user first' in page
    assert "3 assets" in main_of(staff_client.get(theirs))
    assert 'type="submit"' not in page
    staff_client.post(address, {"post": "yes"})
    assert (User.objects.filter(pk=user.pk).exists(), Asset.objects.count()) == (True, 3)


def test_what_goes_along_is_counted_and_goes(staff_client, user, stranger, address):
    for number in range(4):
        SavedSearch.objects.create(owner=user, name=f"search {number}", query="k=5")
    Import.objects.create(owner=user, kind="urls", name="past")
    Import.objects.create(owner=stranger, kind="urls", name="another's")
    Collection.objects.create(owner=user, name="mine")
    page = main_of(staff_client.get(address))
    for told in ("Users: 1", "Saved searches: 4", "Imports: 1", "Collections: 1"):
        assert told in page
    assert user.username in page
    staff_client.post(address, {"post": "yes"})
    assert list(User.objects.filter(pk__in=[user.pk, stranger.pk])) == [stranger]
    assert [row.name for row in Import.objects.all()] == ["another's"]


def test_who_may_not_delete_what_goes_along_is_told_so(client, user, stranger, address):
    stranger.is_staff = True
    stranger.save()
    for name in ("view_user", "delete_user"):
        stranger.user_permissions.add(Permission.objects.get(codename=name))
    Collection.objects.create(owner=user, name="mine")
    client.force_login(stranger)
    page = main_of(client.get(address))
    assert "<li>collection" in page
    assert 'type="submit"' not in page


def test_several_are_deleted_at_once(staff_client, user, stranger):
    users = reverse("admin:auth_user_changelist")
    chosen = {"action": "delete_selected", "_selected_action": [user.pk, stranger.pk]}
    assert "Users: 2" in main_of(staff_client.post(users, chosen))
    staff_client.post(users, chosen | {"post": "yes"})
    assert not User.objects.filter(pk__in=[user.pk, stranger.pk]).exists()
