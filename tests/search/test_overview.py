"""The first page of the admin: what it tells, and that nothing in the admin is inline."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ

from search import charts, tasks
from search.admin import overview
from tests.search.test_admin import make_build, make_embedding, make_failed, make_measurement, make_pending

INDEX = "/admin/"
INLINE = re.compile(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\bsrc=)(?![^>]*type=\"application/json\")|javascript:")


@pytest.fixture
def full(serving, staff):
    for number in range(4):
        make_embedding(number, serving)
    make_failed(5, serving)
    make_pending(6, serving)
    build = make_build(1, serving, state="ready")
    for number in range(3):
        make_measurement(number, build)
    return serving


def test_first_page_tells_how_things_are(staff_client, full):
    page = staff_client.get(INDEX).text
    for told in ("Originals", "Disk left", "Pictures by hour", "Recall over time", "The preview cannot be read"):
        assert told in page
    assert 'action="/work/failures/retry/"' in page


def test_first_page_takes_few_queries(staff_client, full, django_assert_max_num_queries):
    with django_assert_max_num_queries(12):
        staff_client.get(INDEX)


@pytest.mark.parametrize(
    "path", [INDEX, "/admin/gallery/asset/", "/admin/search/encoder/", "/admin/search/indexbuild/",
             "/admin/search/measurement/", "/admin/login/"]
)  # fmt: skip
def test_page_holds_nothing_inline_and_the_header_of_the_site(staff_client, client, full, path):
    page = (client if "login" in path else staff_client).get(path).text
    assert not INLINE.findall(page)
    assert 'class="header"' in page
    assert "theme.js" not in page


def test_admin_comes_in_the_theme_that_was_chosen(staff_client, full):
    staff_client.cookies["theme"] = "dark"
    assert "theme-dark" in staff_client.get(INDEX).text


def test_who_may_see_no_assets_sees_no_overview(clerk_client, full):
    assert "Disk left" not in clerk_client.get(INDEX).text


def test_counts_are_of_what_is_kept_and_storage_of_all(asset, staff):
    one, other = asset(1), asset(2)
    type(one).objects.filter(pk=one.pk).update(trashed=timezone.now(), delete_after=timezone.now())
    told = overview.of(staff)
    assert told.counts == {"ready": 0, "pending": 1, "failed": 0}
    assert told.storage.originals == one.size_bytes + other.size_bytes
    renditions = sum(kind.size for row in (one, other) for kind in (row.preview, row.thumbnail))
    assert told.storage.renditions == pytest.approx(renditions / 2, rel=0.1)  # about: by one of what is kept
    assert told.storage.free > 0
    assert told.database_bytes > 0


def test_size_of_renditions_is_told_as_soon_as_there_is_one(asset, staff):
    assert overview.of(staff).storage.renditions == 0
    one = asset(1)
    assert overview.of(staff).storage.renditions == one.preview.size + one.thumbnail.size


def test_pictures_are_counted_by_the_hour(staff, serving):
    now = timezone.now()
    make_embedding(1, serving, embedded_at=now)
    make_embedding(2, serving, embedded_at=now - timedelta(hours=2))
    make_embedding(3, serving, embedded_at=now - timedelta(days=2))
    hours = list(overview._by_hour().items())
    assert len(hours) == 24
    assert [row for _, row in hours[-3:]] == [(0, 1), (0, 0), (3, 1)]


def test_worker_is_alive_while_it_holds_a_connection(staff, db):
    with connection.cursor() as cursor:
        cursor.execute("SET application_name = 'assetsearch worker bulk'")
        try:
            told = overview.of(staff).queues
        finally:
            cursor.execute("RESET application_name")
    assert [(queue.name, queue.is_alive) for queue in told] == [("interactive", False), ("bulk", True)]


def test_tasks_that_wait_are_counted(staff, db):
    tasks.queue_asset(1), tasks.queue_asset(2), tasks.queue_pending()
    assert OrmQ.objects.count() == 3
    assert [(queue.name, queue.waiting) for queue in overview.of(staff).queues] == [("interactive", 2), ("bulk", 1)]


def test_chart_has_no_style_of_its_own():
    now = timezone.now()
    svg = charts.throughput([now - timedelta(hours=n) for n in range(24)], [0] * 24, list(range(24))).svg
    assert "style" not in svg
    assert 'font-family="inherit"' in svg
    assert "Uploaded: 0. Embedded: 276." in svg
