import pytest

from tests.product import PASSWORD


@pytest.mark.parametrize("path", ["/login/", "/admin/login/"])
def test_guessing_passwords_is_slowed(client, user, staff, path):
    wrong = {"username": "cleo", "password": "wrong"}
    answers = [client.post(path, wrong).content.decode() for _ in range(11)]
    assert "too many attempts" not in answers[9]
    assert "too many attempts" in answers[10]
    client.post(path, {"username": "cleo", "password": "correct horse"})
    assert "_auth_user_id" not in client.session


@pytest.mark.parametrize("path", ["/login/", "/admin/login/"])
def test_right_password_signs_in(client, staff, path):
    client.post(path, {"username": "cleo", "password": "correct horse"})
    assert client.session["_auth_user_id"] == str(staff.pk)


def test_both_doors_count_together(client, user):
    for _ in range(10):
        client.post("/login/", {"username": "ann", "password": PASSWORD})
    assert client.post("/api/v1/token/", {"username": "ann", "password": PASSWORD}).status_code == 429
