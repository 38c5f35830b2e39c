import pytest

from assetsearch.preferences import COOKIE


def test_theme_is_kept_and_shown(user_client):
    answer = user_client.post("/theme/", {"theme": "dark", "next": "/gallery/"})
    assert (answer.status_code, answer["Location"]) == (302, "/gallery/")
    assert 'data-theme="dark"' in user_client.get("/gallery/").content.decode()


@pytest.mark.parametrize("elsewhere", ["https://example.org/", "//example.org", "javascript:alert(1)", ""])
def test_theme_leads_nowhere_else(client, elsewhere):
    assert client.post("/theme/", {"theme": "dark", "next": elsewhere})["Location"] == "/"


def test_unknown_theme_is_the_systems(client):
    assert client.post("/theme/", {"theme": "<script>"}).cookies[COOKIE].value == "auto"


def test_theme_is_chosen_by_post_alone(client):
    assert client.get("/theme/").status_code == 405
