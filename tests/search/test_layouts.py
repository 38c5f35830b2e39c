import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from search.evaluation import layouts
from search.evaluation.layouts import Box, LayoutError, Part


def put(folder, *names):
    """Files by these names. What is in them does not matter: no reader opens a picture."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def problems(read, folder):
    with pytest.raises(LayoutError) as wrong:
        read(folder)
    assert str(wrong.value) == "\n".join(wrong.value.problems)
    return list(wrong.value.problems)


def names(task):
    return [task.name_of(path) for path in task.database]


def test_what_is_a_picture_is_what_an_import_takes():
    from gallery.ingest.folder import SUFFIXES

    assert layouts.SUFFIXES == SUFFIXES


def test_layouts_need_no_django():
    code = "import sys, search.evaluation.layouts; sys.exit('django' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(layouts.__file__).parents[2])


# --- query/, database/, ground_truth.csv ----------------------------------------------------------------------


@pytest.fixture
def tutorial(tmp_path):
    put(tmp_path, "query/q1.jpg", "query/q2.png", "database/a.jpg", "database/b.jpg", "database/deep/c, d.jpg")

    def make(text, encoding="utf-8"):
        (tmp_path / "ground_truth.csv").write_bytes(text.encode(encoding))
        return tmp_path

    return make


GOOD = 'query,relevant\nq1.jpg,b.jpg\nq2.png,"deep/c, d.jpg"\nq1.jpg,a.jpg\n'


def test_tutorial_says_what_each_query_should_find(tutorial):
    task = layouts.read_tutorial(tutorial(GOOD))
    assert names(task) == ["database/a.jpg", "database/b.jpg", "database/deep/c, d.jpg"]
    assert [task.name_of(query.path) for query in task.queries] == ["query/q1.jpg", "query/q2.png"]
    first, second = (task.judged(query)["plain"] for query in task.queries)
    assert first.positive == {"database/a.jpg", "database/b.jpg"}
    assert second.positive == {"database/deep/c, d.jpg"}
    assert first.junk == set()
    assert task.views == [*task.database, *(query.path for query in task.queries)]
    assert task.name == task.folder.name


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.rstrip("\n"),
        GOOD.replace("\n", "\n\n"),
        GOOD.replace("q1.jpg,", '"q1.jpg", '),
        GOOD.replace("query,relevant", " Query , RELEVANT"),
        "relevant,note,query\nb.jpg,x,q1.jpg\n\"deep/c, d.jpg\",,q2.png\na.jpg,,q1.jpg\n",
    ],
    ids=["mark", "crlf", "no last end", "empty lines", "quotes", "header's case", "columns"],
)  # fmt: skip
def test_tutorial_is_read_however_it_was_saved(tutorial, text):
    folder = tutorial(text)
    task = layouts.read_tutorial(folder)
    assert task == layouts.read_tutorial(tutorial(GOOD))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["q1.jpg"], "line 4: 1 values, where the header has 2."),
        (["q1.jpg,a.jpg,b.jpg"], "line 4: 3 values, where the header has 2."),
        ([",a.jpg"], "line 4: the value of 'query' is empty."),
        (["q1.jpg, "], "line 4: the value of 'relevant' is empty."),
        (["q9.jpg,a.jpg"], "line 4: there is no picture query/q9.jpg."),
        (["q1.jpg,z.jpg"], "line 4: there is no picture database/z.jpg."),
        (["q1.jpg,../query/q1.jpg"], "line 4: there is no picture database/../query/q1.jpg."),
        (["q1.jpg,a.jpg;b.jpg"], "line 4: there is no picture database/a.jpg;b.jpg."),
        (["", "q1.jpg,a.jpg"], "line 5: it says the same as line 2."),
        (['q1.jpg,"b.jpg', "q2.png,b.jpg"], "line 4: this is no CSV: unexpected end of data."),
        (['q1.jpg,"a\n.jpg"', "q9.jpg,a.jpg"], "line 6: there is no picture query/q9.jpg."),
    ],
)
def test_tutorial_names_the_line_that_is_wrong(tutorial, lines, expected):
    text = "\n".join(["query,relevant", "q1.jpg,a.jpg", "q2.png,b.jpg", *lines])
    assert f"ground_truth.csv, {expected}" in problems(layouts.read_tutorial, tutorial(text))


def test_lines_are_counted_from_a_header_of_two(tutorial):
    folder = tutorial('query,relevant,"of whose\nopinion"\nq1.jpg,z.jpg,ann\nq2.png,a.jpg,ann\n')
    assert problems(layouts.read_tutorial, folder) == ["ground_truth.csv, line 3: there is no picture database/z.jpg."]


def test_tutorial_names_all_that_is_wrong_and_each_once(tutorial):
    folder = tutorial("query,relevant\nq1.jpg,z.jpg\nq9.jpg,\nq1.jpg,a.jpg\nq1.jpg,a.jpg\nq1.jpg\n")
    put(folder, "query/q0.jpg")
    assert problems(layouts.read_tutorial, folder) == [
        "ground_truth.csv, line 2: there is no picture database/z.jpg.",
        "ground_truth.csv, line 3: there is no picture query/q9.jpg.",
        "ground_truth.csv, line 3: the value of 'relevant' is empty.",
        "ground_truth.csv, line 5: it says the same as line 4.",
        "ground_truth.csv, line 6: 1 values, where the header has 2.",
        "query/q0.jpg: no line of ground_truth.csv says what is relevant to it.",
        "query/q2.png: no line of ground_truth.csv says what is relevant to it.",
    ]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "names no column 'query'"),
        ("q1.jpg,a.jpg", "names no column 'query'"),
        ("query", "names no column 'relevant'"),
        ("query,relevant,relevant", "names more than one column 'relevant'"),
    ],
)
def test_tutorial_names_the_column_that_is_missing(tutorial, header, expected):
    [told] = problems(layouts.read_tutorial, tutorial(f"{header}\nq1.jpg,a.jpg\n" if header else ""))
    assert told == f"ground_truth.csv, line 1: the header {expected}; it starts with query,relevant."


def test_tutorial_in_another_encoding_is_named_by_line(tutorial):
    folder = tutorial("query,relevant\nq1.jpg,a.jpg\nq2.png,é.jpg\n", "latin1")
    assert problems(layouts.read_tutorial, folder) == ["ground_truth.csv, line 3: this is no UTF-8."]


def test_tutorial_without_its_parts_says_which(tutorial, tmp_path):
    put(tmp_path, "query/q1.jpg")
    assert problems(layouts.read_tutorial, tmp_path) == ["ground_truth.csv: there is no such file."]
    (tmp_path / "database" / "a.jpg").unlink()
    (tmp_path / "database" / "b.jpg").unlink()
    (tmp_path / "database" / "deep" / "c, d.jpg").unlink()
    assert problems(layouts.read_tutorial, tutorial(GOOD)) == ["database/: no picture is in it."]


# --- a folder a class -----------------------------------------------------------------------------------------


def test_classes_find_the_others_of_their_class(tmp_path):
    put(tmp_path, "hat/2.jpg", "hat/1.jpg", "hat/red/3.PNG", "hat/notes.txt", "shoe/1.jpg", "shoe/2.jpg")
    task = layouts.read_classes(tmp_path)
    assert names(task) == ["hat/1.jpg", "hat/2.jpg", "hat/red/3.PNG", "shoe/1.jpg", "shoe/2.jpg"]
    judged = {task.name_of(query.path): task.judged(query)["leave-one-out"] for query in task.queries}
    assert judged["hat/1.jpg"].positive == {"hat/2.jpg", "hat/red/3.PNG"}
    assert judged["hat/red/3.PNG"].positive == {"hat/1.jpg", "hat/2.jpg"}
    assert judged["shoe/2.jpg"].positive == {"shoe/1.jpg"}
    assert all(one.junk == {name} for name, one in judged.items())  # or each query would find itself
    assert [query.label for query in task.queries] == ["hat", "hat", "hat", "shoe", "shoe"]
    assert task.views == list(task.database)
    assert task.notes == ()


def test_classes_tell_of_pictures_that_ask_nothing(tmp_path):
    put(tmp_path, "hat/1.jpg", "hat/2.jpg", "shoe/1.jpg", "stray.jpg")
    task = layouts.read_classes(tmp_path)
    assert task.notes == (
        "shoe: one picture, so that nothing is relevant to it.",
        "1 pictures lie beside the classes' folders and were left out.",
    )
    assert names(task) == ["hat/1.jpg", "hat/2.jpg", "shoe/1.jpg"]
    assert task.judged(task.queries[2])["leave-one-out"].positive == set()


def test_one_class_is_none(tmp_path):
    put(tmp_path, "hat/1.jpg", "hat/2.jpg", "shoe/notes.txt")
    assert problems(layouts.read_classes, tmp_path) == [
        f"Classes are two folders with pictures or more; in {tmp_path} there are 1."
    ]


def test_order_on_disk_does_not_matter(tmp_path, monkeypatch):
    put(tmp_path, *(f"{label}/{number}.jpg" for label in "bca" for number in (3, 1, 2)))
    task, walk = layouts.read_classes(tmp_path), os.walk

    def backwards(top):
        for parent, folders, files in walk(top):
            folders.sort(reverse=True)
            yield parent, folders, sorted(files, reverse=True)

    monkeypatch.setattr(os, "walk", backwards)
    assert layouts.read_classes(tmp_path) == task
    assert names(task) == [f"{label}/{number}.jpg" for label in "abc" for number in (1, 2, 3)]


def test_hidden_files_and_links_that_lead_out_are_passed_over(tmp_path):
    outside, folder = put(tmp_path / "outside", "x.jpg", "y.jpg"), tmp_path / "inside"
    put(folder, "hat/1.jpg", "hat/.2.jpg", "shoe/1.jpg", ".cache/3.jpg", "hat/.deep/4.jpg")
    (folder / "hat" / "out.jpg").symlink_to(outside / "x.jpg")
    (folder / "hat" / "nowhere.jpg").symlink_to(folder / "gone.jpg")
    (folder / "hat" / "in.jpg").symlink_to(folder / "shoe" / "1.jpg")
    (folder / "boots").symlink_to(outside)
    assert names(layouts.read_classes(folder)) == ["hat/1.jpg", "hat/in.jpg", "shoe/1.jpg"]


def test_database_that_is_a_link_out_is_none(tmp_path, tutorial):
    outside, folder = put(tmp_path / "outside", "a.jpg"), put(tmp_path / "inside", "query/q1.jpg")
    (folder / "database").symlink_to(outside)
    assert problems(layouts.read_tutorial, folder) == ["database/: no picture is in it."]
    (folder / "database").unlink()
    put(folder, "database/a.jpg")
    (folder / "ground_truth.csv").symlink_to(tutorial("query,relevant\nq1.jpg,a.jpg\n") / "ground_truth.csv")
    assert problems(layouts.read_tutorial, folder) == ["ground_truth.csv: there is no such file."]


# --- Oxford and Paris -----------------------------------------------------------------------------------------


@pytest.fixture
def oxford(tmp_path):
    """The published layout, with other names."""
    put(tmp_path, *(f"jpg/all_souls_{number:06}.jpg" for number in range(6)))

    def make(stem="all_souls_1", **texts):
        given = {
            "query": "oxc1_all_souls_000000 136.5 34.1 648.5 955.7\n",
            "good": "all_souls_000000\nall_souls_000001\n",
            "ok": "all_souls_000002\n",
            "junk": "all_souls_000003\n",
        }
        (tmp_path / "gt_files").mkdir(exist_ok=True)
        for part, text in (given | texts).items():
            (tmp_path / "gt_files" / f"{stem}_{part}.txt").write_text(text)
        return tmp_path

    return make


def test_oxford_as_published(oxford):
    oxford()
    task = layouts.read_oxford(oxford("paris_defense_2", junk=""))
    assert [task.name_of(path) for path in task.database] == [f"jpg/all_souls_00000{number}.jpg" for number in range(6)]
    first, second = task.queries
    assert (first.box, first.label, second.label) == (Box(136.5, 34.1, 648.5, 955.7), "all_souls", "paris_defense")
    assert first.view == Part(task.database[0], first.box)
    assert first.grades == {
        "good": {"jpg/all_souls_000000.jpg", "jpg/all_souls_000001.jpg"},
        "ok": {"jpg/all_souls_000002.jpg"},
        "junk": {"jpg/all_souls_000003.jpg"},
    }
    judged = task.judged(first)
    assert list(judged) == ["original"]
    assert judged["original"].positive == first.grades["good"] | first.grades["ok"]
    assert judged["original"].junk == first.grades["junk"]
    assert second.grades["junk"] == set()


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"good": "\nall_souls_000001\nzz_1\n"}, "1_good.txt, line 3: there is no picture zz_1."),
        ({"query": "oxc1_zz 1 2 3 4"}, "1_query.txt, line 1: there is no picture zz."),
        ({"query": "oxc1_all_souls_000000 1 2 3"}, "1_query.txt: one line is expected, a name and the left, upper, "),
        ({"query": "oxc1_all_souls_000000 1 2 3 x"}, "1_query.txt: one line is expected"),
        ({"query": "oxc1_all_souls_000000 3 2 1 4"}, "1_query.txt: one line is expected"),
        ({"query": "oxc1_all_souls_000000 1 2 nan 4"}, "1_query.txt: one line is expected"),
        ({"query": "oxc1_all_souls_000000 1 2 3 4\n" * 2}, "1_query.txt: one line is expected"),
        ({"query": ""}, "1_query.txt: one line is expected"),
        ({"good": "", "ok": ""}, "1_query.txt: nothing is relevant to this query."),
        ({"junk": "all_souls_000001"}, "1_query.txt: jpg/all_souls_000001.jpg is both good and junk."),
    ],
)
def test_oxford_names_the_file_and_line_that_is_wrong(oxford, texts, expected):
    oxford("all_souls_2")
    [told] = problems(layouts.read_oxford, oxford(**texts))
    assert told.startswith(f"gt_files/all_souls_{expected}")


def test_oxford_names_all_that_is_wrong(oxford):
    folder = oxford(good="x\ny\n", ok="z\n")
    (folder / "gt_files" / "all_souls_1_junk.txt").unlink()
    put(folder, "more/all_souls_000000.jpg")
    assert problems(layouts.read_oxford, folder) == [
        "gt_files/all_souls_1_good.txt, line 1: there is no picture x.",
        "gt_files/all_souls_1_good.txt, line 2: there is no picture y.",
        "gt_files/all_souls_1_ok.txt, line 1: there is no picture z.",
        "gt_files/all_souls_1_junk.txt: there is no such file.",
        (
            "gt_files/all_souls_1_query.txt, line 1: all_souls_000000 may be any of jpg/all_souls_000000.jpg, "
            "more/all_souls_000000.jpg."
        ),
    ]


def test_oxford_without_queries_says_so(tmp_path):
    assert problems(layouts.read_oxford, put(tmp_path, "jpg/a.jpg")) == ["*_query.txt: there is no such file."]


# --- revisited ------------------------------------------------------------------------------------------------


def truth(kind=list):
    """What the published files hold, on a small scale; positions count in imlist, which is not in order."""
    return {
        "imlist": ["d", "a", "c", "b", "e"],
        "qimlist": ["q1", "q2"],
        "gnd": [
            {"easy": kind([0]), "hard": kind([1, 3]), "junk": kind([4]), "bbx": kind([1.5, 2.0, 30.0, 40.0])},
            {"easy": kind([2]), "hard": kind([]), "junk": kind([]), "bbx": kind([0.0, 0.0, 5.0, 5.0])},
        ],
    }


@pytest.fixture
def revisited(tmp_path):
    put(tmp_path, *(f"jpg/{name}.jpg" for name in ("a", "b", "c", "d", "e", "q1", "q2", "beside")))

    def make(data, name="gnd_roxford5k.pkl", protocol=2):
        if not isinstance(data, bytes):
            data = json.dumps(data).encode() if name.endswith(".json") else pickle.dumps(data, protocol)
        (tmp_path / name).write_bytes(data)
        return tmp_path

    return make


def check(task):
    assert names(task) == [f"jpg/{name}.jpg" for name in "abcde"]
    first, second = task.queries
    assert first.view == Part(task.folder / "jpg/q1.jpg", Box(1.5, 2, 30, 40))
    told = {
        name: ("".join(sorted(path[4] for path in one.positive)), "".join(sorted(path[4] for path in one.junk)))
        for name, one in task.judged(first).items()
    }
    assert told == {"easy": ("d", "abe"), "medium": ("abd", "e"), "hard": ("ab", "de")}
    assert task.judged(second)["hard"].positive == set()
    assert task.judged(second)["medium"].positive == {"jpg/c.jpg"}


def ints(values):
    return np.array(values, np.int64 if all(isinstance(value, int) for value in values) else np.float64)


@pytest.mark.parametrize("kind", [list, ints, lambda values: [np.float32(value) for value in values]])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_revisited_as_published(revisited, kind, protocol):
    check(layouts.read_revisited(revisited(truth(kind), protocol=protocol)))


@pytest.mark.parametrize("dtype", [">i4", "<u2", "i1", "u8", ">f8", "<f4"])
def test_arrays_of_any_number_are_read(revisited, dtype):
    data = truth()
    data["gnd"][0]["hard"] = np.array([1, 3], dtype)
    check(layouts.read_revisited(revisited(data)))


def test_arrays_as_old_numpy_and_python_2_wrote_them(revisited):
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\ndtype\n"
        b"(S'i8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00"
        b"\\x03\\x00\\x00\\x00\\x00\\x00\\x00\\x00'\ntb"
    )
    assert pickle.loads(array + b".", encoding="latin1").tolist() == [1, 3]  # noqa: S301
    data = truth()
    data["gnd"][0]["hard"] = "HERE"
    check(layouts.read_revisited(revisited(re.sub(rb"VHERE\np\d+\n", lambda _: array, pickle.dumps(data, 0)))))


def test_revisited_as_json(revisited):
    check(layouts.read_revisited(revisited(truth(), "gnd_rparis6k.json")))


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_that_runs_a_command_is_refused_and_runs_nothing(revisited, tmp_path, protocol):
    data = pickle.dumps(truth() | {"gnd": [Hostile(tmp_path / "ran")]}, protocol)
    [told] = problems(layouts.read_revisited, revisited(data))
    assert told == "gnd_roxford5k.pkl: it asks for posix.system, which ground truth needs not; it was not read."
    assert not (tmp_path / "ran").exists()
    pickle.loads(data)  # noqa: S301
    assert (tmp_path / "ran").exists()  # it would have


@pytest.mark.parametrize(
    ("data", "asked"),
    [
        (b"cbuiltins\neval\n(S'1'\ntR.", "builtins.eval"),
        (b"cbuiltins\ngetattr\n.", "builtins.getattr"),
        (b"c__builtin__\nexec\n.", "__builtin__.exec"),
        (b"cnumpy\nload\n.", "numpy.load"),
        (b"cnumpy.testing._private.utils\nrunstring\n.", "numpy.testing._private.utils.runstring"),
        (b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.", "numpy.ndarray.__init__"),
        (b"cfunctools\npartial\n.", "functools.partial"),
        (b"csearch.evaluation.layouts\n_Array\n.", "search.evaluation.layouts._Array"),
        (b"Pkept\n.", "an object kept elsewhere"),
        (pickle.dumps(np.array([object()], object), 2), "an array of 'O8'"),
        (pickle.dumps(np.array(["a"]), 2), "an array of 'U1'"),
        (b"cnumpy\nndarray\n(I9\ntR.", "an array in a way numpy has none"),
    ],
)
def test_pickle_that_names_what_it_need_not_is_refused(revisited, data, asked):
    [told] = problems(layouts.read_revisited, revisited(data))
    assert told == f"gnd_roxford5k.pkl: it asks for {asked}, which ground truth needs not; it was not read."


def test_pickle_cannot_change_what_the_next_is_read_with(revisited):
    # BUILD with a state of slots sets attributes of whatever was looked up
    before = layouts._as_bytes.__defaults__
    spoilt = b"c_codecs\nencode\n(N}S'__defaults__'\n(S'x'\nS'y'\ntstb."
    problems(layouts.read_revisited, revisited(spoilt))
    assert layouts._as_bytes.__defaults__ == before


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no pickle",
        pickle.dumps(truth(ints))[:-30],
        b"cbuiltins\nbytes\n(L99999999999L\ntR.",  # so many bytes of nothing
        b"cnumpy.core.multiarray\nscalar\n(NNtR.",
        pickle.dumps(np.arange(3), 2).replace(b"K\x03\x85", b"K\x04\x85").replace(b"\x02", b"", 1),
    ],
    ids=["empty", "text", "cut off", "bytes", "scalar", "array"],
)
def test_damaged_pickle_is_named(revisited, data):
    [told] = problems(layouts.read_revisited, revisited(data))
    assert told.startswith("gnd_roxford5k.pkl: this is no pickle that can be read: ")


def changed(**changes):
    data = truth()
    first = data["gnd"][0]
    for key, value in changes.items():
        (first if key in first else data)[key] = value
    return data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, "imlist: a list of names is expected."),
        ([], "imlist: a list of names is expected."),
        (changed(imlist=["a", 1]), "imlist: a list of names is expected."),
        (changed(qimlist=[]), "qimlist: a list of names is expected."),
        (changed(imlist=["d", "a", "c", "b", "zz"]), "imlist[4]: there is no picture zz."),
        (changed(imlist=["d", "a", "c", "b", "d"]), "imlist: d is in it more than once."),
        (changed(gnd=[]), "gnd: a list is expected, as long as qimlist."),
        (changed(gnd=None), "gnd: a list is expected, as long as qimlist."),
        (changed(easy=[5]), "gnd[0].easy: a list of positions in imlist, 0 to 4, is expected."),
        (changed(easy=[-1]), "gnd[0].easy: a list of positions in imlist, 0 to 4, is expected."),
        (changed(easy=[0.5]), "gnd[0].easy: a list of positions in imlist, 0 to 4, is expected."),
        (changed(easy=[True]), "gnd[0].easy: a list of positions in imlist, 0 to 4, is expected."),
        (changed(easy=[float("inf")]), "gnd[0].easy: a list of positions in imlist, 0 to 4, is expected."),
        (changed(easy=[float("nan")]), "gnd[0].easy: a list of positions in imlist, 0 to 4, is expected."),
        (changed(junk=None), "gnd[0].junk: a list of positions in imlist, 0 to 4, is expected."),
        (changed(junk=[3]), "gnd[0]: jpg/b.jpg is both hard and junk."),
        (changed(bbx=[1, 2, 3]), "gnd[0].bbx: the left, upper, right and lower edge in pixels are expected."),
        (changed(bbx=[3, 2, 1, 4]), "gnd[0].bbx: the left, upper, right and lower edge in pixels are expected."),
        (changed(bbx=[1, 2, 10**400, 4]), "gnd[0].bbx: the left, upper, right and lower edge in pixels are expected."),
        (changed(bbx="abcd"), "gnd[0].bbx: the left, upper, right and lower edge in pixels are expected."),
    ],
)
@pytest.mark.parametrize("name", ["gnd_rparis6k.json", "gnd_rparis6k.pkl"])
def test_revisited_names_what_is_wrong(revisited, name, data, expected):
    assert f"{name}, {expected}" in problems(layouts.read_revisited, revisited(data, name))


def test_revisited_names_all_that_is_wrong(revisited):
    data = changed(easy=[9], bbx=[], qimlist=["zz", "q2"])
    assert [told.split(", ")[1].split(":")[0] for told in problems(layouts.read_revisited, revisited(data))] == [
        "qimlist[0]", "gnd[0].easy", "gnd[0].bbx",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"imlist":\n [}', ", line 2: this is no JSON: Expecting value."),
        (b"[" * 200_000, ": its lists are nested too deeply, or its numbers too long."),
        (b"1" * 5000, ": its lists are nested too deeply, or its numbers too long."),
        (b"\n\xff", ", line 2: this is no UTF-8."),
    ],
)
def test_json_that_is_none_is_named(revisited, data, expected):
    assert problems(layouts.read_revisited, revisited(data, "gnd_x.json")) == [f"gnd_x.json{expected}"]


def test_two_ground_truths_are_not_chosen_from(revisited):
    revisited(truth())
    folder = revisited(truth(), "gnd_rparis6k.json")
    assert problems(layouts.read_revisited, folder) == [
        "One file of ground truth is read; there are gnd_roxford5k.pkl, gnd_rparis6k.json."
    ]


def test_ground_truth_of_endless_length_is_not_read(revisited, monkeypatch):
    monkeypatch.setattr(layouts, "_GROUND_TRUTH_MAX", 1 << 20)
    folder = revisited(b"x" * ((1 << 20) + 1))
    assert problems(layouts.read_revisited, folder) == ["gnd_roxford5k.pkl: at most 1 MiB are read."]


# --- which of them --------------------------------------------------------------------------------------------


def test_layout_is_said_where_there_are_several(tutorial, oxford):
    tutorial(GOOD)
    folder = oxford()
    with pytest.raises(LayoutError, match="fits several layouts, tutorial and oxford: say which"):
        layouts.read(folder)
    assert {layout: layouts.read(folder, layout).layout for layout in ("tutorial", "oxford", "classes")} == {
        "tutorial": "tutorial",
        "oxford": "oxford",
        "classes": "classes",
    }


@pytest.mark.parametrize("layout", ["tutorial", "oxford", "revisited"])
def test_layout_is_found_out_where_there_is_one(request, layout):
    make = request.getfixturevalue(layout)
    folder = make() if layout == "oxford" else make({"tutorial": GOOD, "revisited": truth()}[layout])
    put(folder, "more/1.jpg")  # any of them might be classes, too
    assert layouts.read(folder).layout == layout


def test_classes_are_found_out(tmp_path):
    assert layouts.read(put(tmp_path, "hat/1.jpg", "shoe/1.jpg")).layout == "classes"


def test_tutorial_without_ground_truth_is_not_taken_for_classes(tmp_path):
    folder = put(tmp_path, "query/1.jpg", "database/1.jpg")
    assert problems(layouts.read, folder) == ["ground_truth.csv: there is no such file."]


def test_no_layout_says_what_was_looked_for(tmp_path):
    put(tmp_path, "hat/1.jpg")
    [told] = problems(layouts.read, tmp_path)
    assert told == (
        f"{tmp_path} has no layout that is known. Looked for: query/, database/ and ground_truth.csv (tutorial); "
        "gnd_*.pkl or gnd_*.json (revisited); files named *_query.txt (oxford); two folders with pictures or more "
        "(classes)."
    )


def test_what_is_no_folder_and_no_layout_is_said(tmp_path):
    assert problems(layouts.read, tmp_path / "gone") == [f"{tmp_path / 'gone'} is not a folder."]
    assert problems(lambda folder: layouts.read(folder, "x"), tmp_path) == [
        "There is no layout 'x'. There are: tutorial, revisited, oxford, classes."
    ]
