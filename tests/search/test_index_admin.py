import re
import threading
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest
from django_q.models import OrmQ

from search import charts, index, tasks
from search.admin import measurements
from search.models import IndexBuild, Measurement
from tests.project.test_imports import loaded_by
from tests.search.test_admin import (
    BUILDS,
    MEASUREMENTS,
    make_build,
    make_measurement,
    queries_of,
    queued,
    said,
)

BUILD_NOW, MEASURE_NOW = f"{BUILDS}build-now/", f"{MEASUREMENTS}measure-now/"
BLUE, RED = charts._BLUE, charts._RED
FIRST = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def build(serving):
    return make_build(1, serving, recall=0.9871, state=IndexBuild.State.READY)


def make_checks(build, recalls, *, since=FIRST, **fields):
    """One a day."""
    for day, recall in enumerate(recalls):
        made = make_measurement(day, build, recall=recall, **fields)
        Measurement.objects.filter(pk=made.pk).update(taken=since + timedelta(days=day))
    return list(Measurement.objects.filter(build=build, purpose="check").order_by("taken"))


def make_trials(build, trials):
    """{probes: (recall, p50)}."""
    return [
        make_measurement(
            1, build, purpose="tuning", parameters={**build.parameters, "probes": probes}, recall=recall, p50_ms=p50_ms
        )
        for probes, (recall, p50_ms) in trials.items()
    ]


TRIALS = {1: (0.8, 0.3), 3: (0.95, 0.5), 6: (0.985, 0.7), 8: (0.99, 0.9)}


# --- index builds -------------------------------------------------------------------------------------------


def test_index_build_list_shows_what_it_was_built_and_searched_with(staff_client, build):
    IndexBuild.objects.update(finished=build.started + timedelta(seconds=87.4))
    page = staff_client.get(BUILDS).content.decode()
    for shown in ("ivfflat", "Serving", "1001", ">0.987<", "lists 20, probes 6", "0:01:27", "Build now", "Measure now"):
        assert shown in page


@pytest.mark.parametrize(
    ("kind", "candidates", "shown"),
    [("hnsw", None, "lists 20, ef_search 6"), ("pca", 50, "lists 20, probes 6, candidates 50")],
)
def test_effort_is_called_what_the_kind_calls_it(staff_client, build, kind, candidates, shown):
    build.tuning["steps"][0]["candidates"] = candidates
    IndexBuild.objects.update(kind=kind, tuning=build.tuning)
    assert f">{shown}<" in staff_client.get(BUILDS).content.decode()


def test_build_under_way_has_neither_effort_nor_recall_nor_duration(staff_client, serving):
    make_build(1, serving, state=IndexBuild.State.BUILDING, tuning=None, finished=None)
    page = staff_client.get(BUILDS).content.decode()
    for field, shown in {"searched_with": "lists 20", "recall": "-", "duration": "-"}.items():
        assert re.search(rf'field-{field}[^>]*">{shown}<', page)


def test_wanted_kind_is_offered_first(staff_client, serving, settings):
    settings.INDEX_KIND = "hnsw"
    assert '<option value="hnsw" selected>' in staff_client.get(BUILDS).content.decode()
    serving.index_kind = "pca"
    serving.save()
    assert '<option value="pca" selected>' in staff_client.get(BUILDS).content.decode()


def test_build_now_queues_a_build_of_the_kind(staff_client, serving):
    assert "A worker builds the index" in said(staff_client.post(BUILD_NOW, {"kind": "itq"}, follow=True))
    task = OrmQ.objects.get().task
    assert (task["func"], task["args"], task["kwargs"]) == ("search.tasks.build_index", ("itq",), {"beside": False})


def test_build_to_compare_is_kept_beside(staff_client, serving, monkeypatch):
    staff_client.post(BUILD_NOW, {"kind": "itq", "beside": "on"})
    kept = []
    monkeypatch.setattr(index, "keep_beside", lambda row, kind: kept.append((row, kind)))
    task = OrmQ.objects.get().task
    tasks.build_index(*task["args"], **task["kwargs"])
    assert kept == [(serving, "itq")]


def test_exact_search_is_not_built_to_compare(staff_client, serving):
    data = {"kind": "exact", "beside": "on"}
    assert "Exact search needs no index" in said(staff_client.post(BUILD_NOW, data, follow=True))
    assert not queued()


def test_what_is_kept_to_compare_is_dropped_by_a_worker_and_nothing_else(staff_client, build, serving, monkeypatch):
    monkeypatch.setattr(index, "_GRACE_S", 0)
    kept = make_build(2, serving, state=IndexBuild.State.BESIDE)
    action = {"action": "drop", "_selected_action": [build.pk, kept.pk]}
    assert "A worker drops 1" in said(staff_client.post(BUILDS, action, follow=True))
    [task] = [task.task for task in OrmQ.objects.all()]
    assert (task["func"], task["args"]) == ("search.tasks.drop_beside", (kept.pk,))
    tasks.drop_beside(kept.pk)
    assert [*IndexBuild.objects.order_by("pk").values_list("state", flat=True)] == ["ready", "replaced"]
    assert "None of these" in said(staff_client.post(BUILDS, action, follow=True))


def test_only_who_may_build_may_drop(clerk_client, serving):
    kept = make_build(2, serving, state=IndexBuild.State.BESIDE)
    clerk_client.post(BUILDS, {"action": "drop", "_selected_action": [kept.pk]})
    assert IndexBuild.objects.beside().get() == kept


@pytest.mark.parametrize("data", [{}, {"kind": "nonsense"}])
def test_build_now_of_no_kind_there_is_builds_nothing(staff_client, serving, data):
    assert "no such kind" in said(staff_client.post(BUILD_NOW, data, follow=True))
    assert not queued()


def test_build_now_without_an_encoder_says_so(staff_client):
    assert "No encoder serves yet" in said(staff_client.post(BUILD_NOW, {"kind": "hnsw"}, follow=True))
    assert not queued()


def test_measure_now_queues_a_measurement(staff_client, build):
    assert "A worker measures the index" in said(staff_client.post(MEASURE_NOW, follow=True))
    assert queued() == ["search.tasks.measure_index"]


def test_measure_now_without_an_index_says_so(staff_client, serving):
    make_build(1, serving)
    assert "No index serves" in said(staff_client.post(MEASURE_NOW, follow=True))
    assert not queued()


@pytest.mark.parametrize("path", [BUILD_NOW, MEASURE_NOW])
def test_nothing_is_done_by_following_a_link(staff_client, build, path):
    assert staff_client.get(path).status_code == 405
    assert not queued()


def test_staff_without_permission_neither_build_nor_measure(clerk_client, build):
    for path in (BUILDS, MEASUREMENTS):
        page = clerk_client.get(path).content.decode()
        assert "Build now" not in page.replace("“Build now”", "")
        assert "Measure now" not in page
    assert clerk_client.post(BUILD_NOW, {"kind": "hnsw"}).status_code == 403
    assert clerk_client.post(MEASURE_NOW).status_code == 403
    assert not queued()


# --- measurements -------------------------------------------------------------------------------------------


def shown_charts(client, query=""):
    """{title: SVG}."""
    page = client.get(f"{MEASUREMENTS}{query}").content.decode()
    found = re.findall(r"<figcaption>(.*?)</figcaption>\s*(<svg.*?</svg>)", page, re.DOTALL)
    return {title: parsed(svg) for title, svg in found}


def parsed(svg):
    return ET.fromstring(svg.replace("xlink:", ""))  # noqa: S314 (our own)


def words(svg):
    return [text.text.strip() for text in svg.iter("text") if text.text]


def markers(svg, colour):
    """Of a line, without the one in the legend."""
    return sum(colour == mark.get("stroke") for mark in svg.iter("use")) - 1


def test_measurement_list_shows_figures_in_few_digits(staff_client, build):
    make_measurement(1, build, recall=0.98761, recall_filtered=0.9649, p50_ms=1.2345)
    page = staff_client.get(MEASUREMENTS).content.decode()
    fields = {
        "kind": "ivfflat", "purpose": "Check", "rows": "1001", "recall": "0.988", "recall_recent": "-",
        "recall_filtered": "0.965", "p50_ms": "1.23", "measured_with": "lists 20, probes 6",
    }  # fmt: skip
    for field, shown in fields.items():
        assert re.search(rf'field-{field}[^>]*">{shown}<', page), field


def test_charts_show_checks_over_time_and_the_last_tuning(staff_client, build):
    make_checks(build, [0.99, 0.985, 0.98])
    make_trials(build, TRIALS)
    drawn = shown_charts(staff_client)
    assert list(drawn) == ["Recall over time", "Latency over time", "Recall against latency, last tuning"]
    recall, latency, tuning = drawn.values()
    assert (markers(recall, BLUE), markers(latency, BLUE), markers(tuning, BLUE)) == (3, 3, 4)
    assert "target" in words(recall)
    assert "p50, ms" in words(latency)
    assert [word for word in words(tuning) if word in {"1", "3", "6", "8"}] == ["1", "3", "6", "8"]


def test_chosen_setting_is_marked_and_said(staff_client, build):
    make_trials(build, TRIALS)
    [tuning] = shown_charts(staff_client).values()
    assert markers(tuning, RED) == 1
    assert tuning.get("aria-label").endswith("Settings tried: 4. Serving: probes 6.")


def test_build_that_was_never_tuned_has_nothing_marked(staff_client, build):
    make_trials(build, TRIALS)
    IndexBuild.objects.update(tuning=None)
    [tuning] = shown_charts(staff_client).values()
    assert "serves" not in words(tuning)
    assert tuning.get("aria-label").endswith("Serving: none.")


def test_candidates_are_named_beside_probes(serving):
    build = make_build(1, serving, kind="pca")
    trials = make_trials(build, TRIALS)
    for trial in trials:
        trial.parameters["candidates"] = 50
    svg = parsed(charts.recall_against_latency(build, trials, {"probes": 6, "candidates": 50}).svg)
    assert {"probes / candidates", "6 / 50"} <= set(words(svg))


def test_recall_of_recent_queries_and_under_filters_is_drawn_where_measured(build):
    checks = make_checks(build, [0.99, 0.98], recall_filtered=0.97)
    svg = parsed(charts.recall_over_time(checks).svg)
    assert "under filters" in words(svg)
    assert "recent queries" not in words(svg)
    assert markers(svg, RED) == 2


def test_line_breaks_where_another_build_takes_over(serving):
    first, second = make_build(1, serving), make_build(2, serving, kind="hnsw")
    checks = make_checks(first, [0.99, 0.98]) + make_checks(second, [0.97, 0.96], since=FIRST + timedelta(days=2))
    svg = parsed(charts.recall_over_time(checks).svg)
    [line] = [path for path in svg.iter("path") if path.get("stroke") == BLUE and path.get("clip-path")]
    assert line.get("d").count("M") == 2
    assert "ivfflat → hnsw" in words(svg)


def test_charts_follow_the_filters_but_for_that_of_purpose(staff_client, build):
    make_checks(build, [0.99])
    make_trials(build, TRIALS)
    assert len(shown_charts(staff_client, "?purpose__exact=tuning")) == 3
    assert len(shown_charts(staff_client, "?kind__exact=ivfflat")) == 3
    page = staff_client.get(f"{MEASUREMENTS}?kind__exact=hnsw").content.decode()
    assert "<svg viewBox" not in page
    assert "No measurement passes the filters." in page


def test_charts_are_of_so_many_measurements_at_most(staff_client, build, monkeypatch):
    monkeypatch.setattr(measurements, "_MOST_CHECKS", 2)
    monkeypatch.setattr(measurements, "_MOST_TRIED", 3)
    make_checks(build, [0.99, 0.98, 0.97])
    make_trials(build, TRIALS)
    recall, _, tuning = shown_charts(staff_client).values()
    assert (markers(recall, BLUE), markers(tuning, BLUE)) == (2, 3)
    assert "Recall at the last: 0.970" in recall.get("aria-label")


def test_charts_take_as_many_queries_for_many_measurements_as_for_few(staff_client, build):
    make_checks(build, [0.99])
    make_trials(build, {1: (0.9, 1.0)})
    staff_client.get(MEASUREMENTS)
    few, _ = queries_of(staff_client, MEASUREMENTS)
    make_checks(make_build(2, build.encoder), [0.99] * 9)
    make_trials(build, TRIALS)
    many, _ = queries_of(staff_client, MEASUREMENTS)
    assert len(many) == len(few)


def test_measurements_to_come_are_explained(staff_client, settings):
    settings.INDEX_MIN_ROWS = 777
    page = staff_client.get(MEASUREMENTS).content.decode()
    assert "No measurements yet" in page
    assert "777 pictures" in page


def test_charts_take_their_colours_and_letters_from_the_page(build):
    for chart in (
        charts.recall_over_time(make_checks(build, [0.99])),
        charts.latency_over_time(make_checks(build, [1.0])),
    ):
        assert "currentColor" in chart.svg
        assert 'font-family="inherit"' in chart.svg
        assert "DejaVu" not in chart.svg
        assert "style" not in chart.svg  # nor an attribute, which a strict policy stops


def test_charts_on_one_page_share_no_names(staff_client, build):
    make_checks(build, [0.99, 0.98])
    make_trials(build, TRIALS)
    names = re.findall(r'<(?:g|path|clipPath)[^>]* id="([^"]+)"', staff_client.get(MEASUREMENTS).content.decode())
    assert names
    assert len(names) == len(set(names))


def test_charts_are_drawn_by_several_threads_at_once(build):
    checks, drawn = make_checks(build, [0.99, 0.98]), []
    threads = [threading.Thread(target=lambda: drawn.append(charts.recall_over_time(checks))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [markers(parsed(chart.svg), BLUE) for chart in drawn] == [2] * 4
    assert all("<text" in chart.svg for chart in drawn)


def test_admin_loads_nothing_that_draws_before_a_chart_is_shown():
    loaded = loaded_by("from django.contrib import admin; admin.autodiscover(); import search.charts")
    assert "search" in loaded
    assert "matplotlib" not in loaded
