import csv
import io
import json
import os
import re

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection
from PIL import Image

from gallery.models import Asset, Collection
from search import pipeline
from search.evaluation import problems, revisited
from search.models import Encoder, Evaluation, IndexBuild, Measurement
from tests.search import test_revisited
from tests.search.vectors import filled_with, random_vectors

#: By mean colour, each class's two are nearest to each other, but for the dark red, which is nearer to black.
COLOURS = {
    "red": [(250, 0, 0), (230, 10, 0)],
    "blue": [(0, 0, 250), (10, 0, 230)],
    "mixed": [(250, 250, 0), (0, 250, 250)],
}


@pytest.fixture
def classes(tmp_path):
    """Folders of pictures of one colour each. The two of `mixed` have nothing in common."""
    for name, colours in COLOURS.items():
        (tmp_path / "classes" / name).mkdir(parents=True)
        for number, colour in enumerate(colours):
            Image.new("RGB", (40, 30), colour).save(tmp_path / "classes" / name / f"{number}.png")
    return tmp_path / "classes"


def evaluate(*arguments):
    out = io.StringIO()
    call_command("evaluate", *map(str, arguments), "--encoder", "mean-colour", stdout=out)
    return out.getvalue()


def test_folder_of_classes_is_evaluated_without_importing_it(classes, mean_colour, db, tmp_path):
    said = evaluate("--classes", classes, "--json", tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["encoder"], found["metric"], found["protocol"]) == ("mean-colour", "cosine", "leave-one-out")
    assert found["metrics"]["precision@1"] == pytest.approx(4 / 6)
    assert {name: values["precision@1"] for name, values in found["classes"].items()} == {
        "red": 1, "blue": 1, "mixed": 0,
    }  # fmt: skip
    assert found["intervals"]["precision@1"][0] < 4 / 6 < found["intervals"]["precision@1"][1]
    assert "0.667" in said
    assert "6 queries among 6 pictures" in said


def cosine_distance(one, other):
    """Of two colours, by the vectors that the encoder makes of them."""
    a, b = np.array([*one, 64.0]), np.array([*other, 64.0])
    return 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_json_tells_how_close_classes_are(classes, mean_colour, db, tmp_path):
    Image.new("RGB", (40, 30), (0, 250, 0)).save(tmp_path / "alone.png")
    (classes / "alone").mkdir()
    (tmp_path / "alone.png").rename(classes / "alone" / "0.png")
    evaluate("--classes", classes, "--metric", "cosine", "--metric", "l1", "--json", tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    told = found["consistency"]
    within = {name: cosine_distance(*colours) for name, colours in COLOURS.items()}
    assert told["within"]["cosine"] == pytest.approx(np.mean([*within.values()]), abs=0.002)
    assert told["classes"]["red"]["within"]["cosine"] == pytest.approx(within["red"], abs=0.002)
    assert told["within"]["euclidean"] < told["between"]["euclidean"]
    assert told["classes"]["mixed"]["silhouette"] < 0 < told["classes"]["red"]["silhouette"]
    assert (told["classes"]["alone"]["members"], told["classes"]["alone"]["within"]["cosine"]) == (1, None)
    assert told["sampled"] is False
    assert [one["consistency"] for one in found["outcomes"]] == [told, told]


def test_pictures_without_labels_have_no_consistency_and_are_of_no_class(mean_colour, db, tmp_path):
    for part in ("query", "database"):
        (tmp_path / part).mkdir()
        for name, colour in (("a", (250, 0, 0)), ("b", (0, 0, 250))):
            Image.new("RGB", (8, 8), colour).save(tmp_path / part / f"{name}.png")
    (tmp_path / "ground_truth.csv").write_text("query,relevant\na.png,a.png\nb.png,b.png\n")
    evaluate("--folder", tmp_path, "--json", tmp_path / "found.json", "--csv", tmp_path / "found.csv")
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["consistency"], found["classes"]) == (None, {})
    measured = [row["measure"] for row in csv.DictReader((tmp_path / "found.csv").open(newline=""))]
    assert len(measured) == len(set(measured)) == len(found["metrics"])


@pytest.fixture
def buildings(tmp_path):
    """The queries that the protocol's test works by hand: red and blue, what they find ever greener."""
    imlist = []
    for red, blue, order in ((200, 0, test_revisited.ORDER), (0, 200, test_revisited.OTHER_ORDER)):
        imlist += order
        for green, name in enumerate(order):
            Image.new("RGB", (32, 32), (red, 20 * green, blue)).save(tmp_path / f"{name}.png")
        Image.new("RGB", (32, 32), (red, 0, blue)).save(tmp_path / f"query {red}.png")
    (tmp_path / "h3.png").write_bytes(b"no picture")
    imlist.append("h3")

    def truth(of):
        hard = of["hard"].positive
        grades = {"easy": of["easy"].positive, "hard": hard, "junk": of["medium"].junk}
        return {grade: sorted(map(imlist.index, names)) for grade, names in grades.items()} | {"bbx": [0, 0, 32, 32]}

    gnd = [truth(test_revisited.SETUPS), truth(test_revisited.OTHER_SETUPS)]
    told = {"imlist": imlist, "qimlist": ["query 200", "query 0"], "gnd": gnd}
    (tmp_path / "gnd_toy.json").write_text(json.dumps(told))
    return tmp_path


def test_revisited_protocol_tells_its_own_figures(buildings, mean_colour, db, tmp_path):
    wanted = [f"--{kind}={tmp_path / 'found'}.{kind}" for kind in ("json", "csv", "report")]
    said = evaluate("--folder", buildings, *wanted)
    outcomes = {one["protocol"]: one for one in json.loads((tmp_path / "found.json").read_text())["outcomes"]}
    lines = csv.DictReader((tmp_path / "found.csv").open(newline=""))
    rows = {(row["protocol"], row["measure"]): float(row["value"]) for row in lines}
    assert list(outcomes) == ["easy", "medium", "hard"]
    for setup, one in outcomes.items():
        published = test_revisited.scored(setup)
        own = {"map_trapezoid": published.map}
        own |= {f"precision_clipped@{k}": precision for k, precision in published.mean_precision.items()}
        assert one["metrics"] == one["metrics"] | {name: pytest.approx(value) for name, value in own.items()}
        assert {name: rows[setup, name] for name in own} == pytest.approx(own)
        [line] = [line for line in said.splitlines() if f"cosine, {setup} " in line]
        assert re.findall(r"(\d\.\d{3}) \[", line) == [f"{value:.3f}" for value in own.values()]
    page = (tmp_path / "found.report").read_text()
    assert re.findall(r"<th>(\w+@?\d*)</th>", page)[2:6] == list(revisited.REPORTED["easy"])


def test_report_of_queries_that_ask_for_nothing_is_written(mean_colour, db, tmp_path):
    for name, colour in {"red": (250, 0, 0), "blue": (0, 0, 250)}.items():
        (tmp_path / "classes" / name).mkdir(parents=True)
        Image.new("RGB", (40, 30), colour).save(tmp_path / "classes" / name / "0.png")
    evaluate("--classes", tmp_path / "classes", "--report", tmp_path / "report.html")
    assert "one picture, so that nothing is relevant to it" in (tmp_path / "report.html").read_text()


def test_gallery_by_its_collections_comes_to_the_same(classes, colour_encoder, flat, user, tmp_path):
    for name, colours in COLOURS.items():
        collection = Collection.objects.create(name=name, owner=user)
        for colour in colours:
            flat(*colour, collection=collection)
    flat(9, 9, 9)  # in no collection: neither a query nor found
    pipeline.embed_pending(colour_encoder)
    evaluate("--classes", classes, "--json", tmp_path / "folder.json")
    evaluate("--labels", "collection", "--json", tmp_path / "gallery.json")
    folder, gallery = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("folder", "gallery"))
    assert gallery["metrics"] == pytest.approx(folder["metrics"])
    assert gallery["database"] == 6


def test_assets_of_one_tag_are_labelled_by_it(colour_encoder, flat, tmp_path):
    for colour in COLOURS["red"]:
        flat(*colour, tags=["red"])
    for colour in COLOURS["blue"]:
        flat(*colour, tags=["blue"])
    flat(99, 99, 99, tags=["red", "blue"])
    pipeline.embed_pending(colour_encoder)
    evaluate("--labels", "tag", "--json", tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["database"], found["metrics"]["precision@1"]) == (4, 1)


def test_metrics_stand_in_one_table_and_are_held_against_the_first(classes, mean_colour, db, tmp_path):
    said = evaluate("--classes", classes, "--metric", "cosine", "--metric", "l1", "--csv", tmp_path / "found.csv")
    rows = list(csv.DictReader((tmp_path / "found.csv").open(newline="")))
    overall = {(row["metric"], row["measure"]): row for row in rows if not row["class"]}
    assert overall["cosine", "precision@1"]["value"] == str(4 / 6)
    assert float(overall["l1", "map"]["low"]) <= float(overall["l1", "map"]["value"])
    assert {row["class"] for row in rows} == {"", *COLOURS}
    assert re.search(r"l1 beside mean-colour, cosine: ap@10 [+-]0\.\d{3}, p = ", said)


@pytest.mark.django_db(transaction=True)
def test_kinds_of_index_stand_beside_the_exact_search_and_are_gone_afterwards(colour_encoder, user, tmp_path):
    made = random_vectors(600, 4)
    assets = filled_with(made, colour_encoder, user)
    for number in range(3):
        collection = Collection.objects.create(name=f"collection {number}", owner=user)
        Asset.objects.filter(pk__in=[asset.pk for asset in assets[number::3]]).update(collection=collection)
    said = evaluate("--labels", "collection", "--kind", "ivfflat", "--json", tmp_path / "found.json")
    exact, indexed = json.loads((tmp_path / "found.json").read_text())["outcomes"]
    assert (exact["index"], indexed["index"]) == ("exact", "ivfflat")
    assert indexed["metrics"]["precision@10"] == pytest.approx(exact["metrics"]["precision@10"], abs=0.02)
    assert "ivfflat beside mean-colour, cosine: ap@10" in said
    assert "map" not in indexed["metrics"]  # an index ranks the nearest alone
    assert not IndexBuild.objects.exists()
    assert not Measurement.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'embedding_ivfflat_%%'")
        assert cursor.fetchone() == (0,)


@pytest.mark.django_db(transaction=True)
def test_kind_that_cannot_be_built_is_said_and_the_rest_is_told(colour_encoder, flat, user, tmp_path):
    collection = Collection.objects.create(name="reds", owner=user)
    for colour in COLOURS["red"]:
        flat(*colour, collection=collection)
    pipeline.embed_pending(colour_encoder)
    complaints = io.StringIO()
    call_command(
        "evaluate", "--labels", "collection", "--kind", "hnsw", "--json", str(tmp_path / "found.json"),
        stdout=io.StringIO(), stderr=complaints,
    )  # fmt: skip
    assert "hnsw: 2 embeddings are too few for an index" in complaints.getvalue()
    assert len(json.loads((tmp_path / "found.json").read_text())["outcomes"]) == 1


@pytest.mark.django_db(transaction=True)
def test_index_is_asked_for_labelled_assets_as_the_exact_search_is(colour_encoder, user, tmp_path):
    assets = filled_with(random_vectors(800, 4), colour_encoder, user)
    for number in range(2):
        collection = Collection.objects.create(name=f"collection {number}", owner=user)
        Asset.objects.filter(pk__in=[asset.pk for asset in assets[number::20]]).update(collection=collection)
    evaluate("--labels", "collection", "--kind", "ivfflat", "--json", tmp_path / "found.json")
    exact, indexed = json.loads((tmp_path / "found.json").read_text())["outcomes"]
    assert exact["database"] == 80
    assert indexed["metrics"]["precision@10"] == pytest.approx(exact["metrics"]["precision@10"], abs=0.05)


def test_exact_is_no_kind_to_build(db):
    with pytest.raises(CommandError, match="exact"):
        evaluate("--labels", "collection", "--kind", "exact")


def test_encoder_that_cannot_be_had_is_said_before_any_work(classes, mean_colour, db):
    with pytest.raises(CommandError, match="No encoder 'nonsense'"):
        call_command("evaluate", "--classes", str(classes), "--encoder", "mean-colour", "--encoder", "nonsense")
    assert mean_colour.batches == []


def test_encoders_that_have_other_pictures_are_not_held_against_each_other(colour_encoder, flat, user, tmp_path):
    collection = Collection.objects.create(name="reds", owner=user)
    reds = [flat(*colour, collection=collection) for colour in [*COLOURS["red"], (200, 9, 9)]]
    pipeline.embed_pending(colour_encoder)
    other = Encoder.objects.create(name="mean-colour~tag", revision="2", dimensions=4, preprocessing=1)
    pipeline.claim([red.pk for red in reds[:2]], other)
    pipeline.store(other, {red.pk: np.array([1, 0, 0, 0], np.float32) for red in reds[:2]})
    out = io.StringIO()
    call_command(
        "evaluate", "--labels", "collection", "--encoder", "mean-colour", "--encoder", "mean-colour~tag", stdout=out
    )
    assert "mean-colour~tag, cosine is not held against mean-colour, cosine: their queries differ" in out.getvalue()
    assert "1 labelled assets have no embedding by this encoder" in out.getvalue()


def test_name_that_is_no_text_stops_nothing(classes, mean_colour, db, tmp_path):
    odd = os.fsencode(classes / "red") + b"/\xff.png"
    os.link(classes / "red" / "0.png", odd)
    evaluate(
        "--classes",
        classes,
        "--csv",
        tmp_path / "f.csv",
        "--json",
        tmp_path / "f.json",
        "--report",
        tmp_path / "f.html",
    )
    assert json.loads((tmp_path / "f.json").read_text())["database"] == 7
    assert (tmp_path / "f.html").exists()


def test_asset_that_is_deleted_meanwhile_is_passed_over(colour_encoder, flat, user):
    collection = Collection.objects.create(name="reds", owner=user)
    reds = [flat(*colour, collection=collection) for colour in COLOURS["red"]]
    pipeline.embed_pending(colour_encoder)
    problem = problems.of_gallery(colour_encoder, "collection")
    reds[0].delete()
    assert [name for name, _ in problem.pictures(16)] == [problem.names[1]]


def test_kinds_are_of_the_gallery(classes, mean_colour, db):
    with pytest.raises(CommandError, match="--kind goes with --labels"):
        evaluate("--classes", classes, "--kind", "ivfflat")


def test_report_needs_nothing_beside_it(classes, mean_colour, db, tmp_path):
    evaluate("--classes", classes, "--report", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 1
    assert page.count("<svg") == 2
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []
    assert "<script" not in page
    assert "Distance within classes" in page


def test_pictures_are_looked_for_by_what_became_of_them(classes, mean_colour, db, tmp_path):
    said = evaluate(
        "--classes", classes, "--robustness", "--json", tmp_path / "found.json", "--report", tmp_path / "r.html"
    )
    found = json.loads((tmp_path / "found.json").read_text())["robustness"]["mean-colour"]
    told = {(one["kind"], one["strength"]): one["recall@1"] for one in found}
    assert {one["tried"] for one in found} == {6}
    assert [told[key] for key in told if "flip" in key[0]] == [1, 1]  # a flip changes no mean colour
    assert [told[key] for key in told if key[0] == "greyscale"] < [0.5]
    assert "mean-colour, found again when altered:" in said
    assert "recall@1 1.000 of 6" in said
    assert "found again when altered" in (tmp_path / "r.html").read_text()


def test_unreadable_picture_whose_name_is_no_text_is_told_to_a_terminal(classes, mean_colour, db):
    (classes / "red" / os.fsdecode(b"\xff.png")).write_bytes(b"no picture")
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    call_command("evaluate", "--classes", str(classes), "--encoder", "mean-colour", stdout=terminal)
    terminal.flush()
    assert rb"\udcff.png was left out" in terminal.buffer.getvalue()


def test_nothing_that_can_be_read_is_said_with_the_reasons(mean_colour, db, tmp_path):
    for name in ("red", "blue"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "damaged.jpg").write_bytes(b"no picture")
    with pytest.raises(CommandError, match=r"nothing to evaluate[^$]*damaged.jpg was left out: This is no picture"):
        evaluate("--classes", tmp_path)


def test_median_between_two_ranks_is_told_as_it_is(mean_colour, db, tmp_path):
    """The dark picture finds its own first, the bright one second."""
    for part, greys in (("query", (20, 250)), ("database", (20, 190, 210, 230))):
        (tmp_path / part).mkdir()
        for grey in greys:
            Image.new("RGB", (8, 8), (grey, 64, 64)).save(tmp_path / part / f"{grey}.png")
    (tmp_path / "ground_truth.csv").write_text("query,relevant\n20.png,20.png\n250.png,210.png\n")
    assert "1.5 [" in evaluate("--folder", tmp_path)


def test_unreadable_picture_is_named_and_the_others_are_evaluated(classes, mean_colour, db):
    (classes / "red" / "damaged.jpg").write_bytes(b"no picture")
    said = evaluate("--classes", classes)
    assert "damaged.jpg was left out: This is no picture" in said
    assert "6 queries among 6 pictures" in said


def test_ground_truth_with_a_malformed_line_is_refused_by_its_number(tmp_path, mean_colour, db):
    for part in ("query", "database"):
        (tmp_path / part).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / part / "a.png")
    (tmp_path / "ground_truth.csv").write_text("query,relevant\na.png,a.png\na.png\n")
    with pytest.raises(CommandError, match="3"):
        evaluate("--folder", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--classes", "nowhere"], "nowhere"),
        (["--labels", "collection"], "Nothing is embedded by 'mean-colour'"),
        (["--labels", "tag", "--json", "nowhere/found.json"], "not a folder"),
        (["--labels", "tag", "--json", "."], "is a folder"),
    ],
)
def test_what_cannot_be_evaluated_is_said(mean_colour, db, arguments, says):
    with pytest.raises(CommandError, match=says):
        evaluate(*arguments)


def test_encoder_that_there_is_not_is_said(classes, db):
    with pytest.raises(CommandError, match="No encoder 'nonsense'"):
        call_command("evaluate", "--classes", str(classes), "--encoder", "nonsense")


def test_evaluation_is_kept_for_the_admin(classes, mean_colour, db):
    evaluate("--classes", classes, "--metric", "cosine", "--metric", "l1")
    kept = {one.metric: one for one in Evaluation.objects.all()}
    assert set(kept) == {"cosine", "l1"}
    assert kept["cosine"].metrics["precision@1"] == pytest.approx(4 / 6)
    assert (kept["cosine"].queries, kept["cosine"].problem) == (6, "classes")


def test_folder_is_evaluated_before_the_gallery_is_set_up(classes, mean_colour, db, monkeypatch):
    def none(*_, **__):
        raise ProgrammingError('relation "search_evaluation" does not exist')

    monkeypatch.setattr(Evaluation.objects, "bulk_create", none)
    complaints = io.StringIO()
    call_command(
        "evaluate", "--classes", str(classes), "--encoder", "mean-colour", stdout=io.StringIO(), stderr=complaints
    )
    assert "Not kept for the admin" in complaints.getvalue()
