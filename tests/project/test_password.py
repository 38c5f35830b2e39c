"""People change their own passwords."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db

OLD, NEW = "what-it-was-7", "what-it-becomes-8"


@pytest.fixture
def member(user: User) -> User:
    user.set_password(OLD)
    user.save()
    return user


@pytest.fixture
def signed_in(member: User) -> Client:
    made = Client()
    assert made.login(username=member.username, password=OLD)
    return made


def change(client: Client, old: str, new: str, again: str | None = None):
    told = {"old_password": old, "new_password1": new, "new_password2": again or new}
    return client.post(reverse("password"), told, follow=True)


def test_password_is_changed_by_who_knows_the_old_one(signed_in: Client, member: User):
    assert reverse("password") in signed_in.get("/").content.decode()
    elsewhere = Client()
    elsewhere.login(username=member.username, password=OLD)
    page = change(signed_in, OLD, NEW).content.decode()
    assert "The password is changed." in page
    assert signed_in.get(reverse("gallery:tags")).status_code == 200
    assert elsewhere.get(reverse("gallery:tags")).status_code == 302
    assert Client().login(username=member.username, password=NEW)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (("guessed", NEW), "Your old password was entered incorrectly."),
        ((OLD, NEW, "another-one-9"), "t match"),
        ((OLD, "12345678"), "too common"),
    ],
)
def test_password_stays_where_something_is_wrong_and_that_is_said(signed_in: Client, member, told, said):
    assert said in change(signed_in, *told).content.decode()
    assert Client().login(username=member.username, password=OLD)


def test_stranger_is_asked_to_sign_in(client: Client):
    assert client.get(reverse("password")).url == f"{reverse('login')}?next={reverse('password')}"
