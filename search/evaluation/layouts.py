"""Labelled folders of pictures, laid out as others publish them, and what a search in each should find.

Imports no Django and opens no picture: a picture is known by its name. Hidden files, and links that lead out of the
folder, are passed over; the order in which a disk lists files never matters.
"""

import csv
import io
import json
import math
import os
import pickle
import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import combinations
from pathlib import Path
from typing import Any

from gallery.formats import SUFFIXES
from search.evaluation.revisited import Judged, original, revisited

#: Bytes. The published ones take 0.2 MB; a pickle's memory grows with its length.
_GROUND_TRUTH_MAX = 64 << 20


class LayoutError(Exception):
    """A folder is not laid out as it should be. `problems` names all that is wrong, each by file and line."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


@dataclass(frozen=True)
class Box:
    """A rectangle, in pixels of the upright original. Raises ValueError for what is none."""

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        finite = all(map(math.isfinite, (self.left, self.top, self.right, self.bottom)))
        if not (finite and self.left < self.right and self.top < self.bottom):
            raise ValueError("left, top, right, bottom")


@dataclass(frozen=True)
class Part:
    """A rectangle of a picture, as something to search with."""

    path: Path
    box: Box

    def __str__(self) -> str:
        return str(self.path)


#: What can be embedded: a file, all of it or a part.
View = Path | Part


@dataclass(frozen=True)
class Query:
    """A picture to search with, and names of the database's pictures by grades: how they relate to it."""

    path: Path
    #: Which grades there are is the layout's; what they mean, `Task.judged` says.
    grades: Mapping[str, frozenset[str]]
    box: Box | None = None
    label: str | None = None

    @property
    def view(self) -> View:
        return self.path if self.box is None else Part(self.path, self.box)


def _plain(*, relevant: frozenset[str]) -> dict[str, Judged]:
    return {"plain": Judged(relevant, frozenset())}


def _leave_one_out(*, members: frozenset[str], itself: frozenset[str]) -> dict[str, Judged]:
    return {"leave-one-out": Judged(members - itself, itself)}


def _original(**grades: frozenset[str]) -> dict[str, Judged]:
    return {"original": original(**grades)}


@dataclass(frozen=True)
class Task:
    """Pictures to search in, and queries with what each should find. `notes` are for whoever reads the figures."""

    layout: str
    folder: Path
    database: tuple[Path, ...]
    queries: tuple[Query, ...]
    _judge: Callable[..., dict[str, Judged]]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    def name_of(self, path: Path) -> str:
        """As grades name it: from the task's folder on, with slashes everywhere."""
        return _told(path, self.folder)

    def judged(self, query: Query) -> dict[str, Judged]:
        """What is right for a query, by protocol. Nothing to be found means that the protocol leaves it out."""
        return self._judge(**query.grades)

    @property
    def views(self) -> list[View]:
        """All there is to embed, once each: in leave-one-out the queries are the database."""
        return list(dict.fromkeys([*self.database, *(query.view for query in self.queries)]))


# --- files ----------------------------------------------------------------------------------------------------


def _files(folder: Path, root: Path) -> Iterator[Path]:
    """Files in a folder and below it. `root` is what a link must not lead out of."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(parent, name) for name in names if not name.startswith("."))
        yield from (path for path in paths if path.is_file() and _is_inside(path, root))


def _is_inside(path: Path, root: Path) -> bool:
    return not path.is_symlink() or path.resolve().is_relative_to(root.resolve())


def _pictures(folder: Path, root: Path) -> list[Path]:
    if not (folder.is_dir() and _is_inside(folder, root)):
        return []
    return sorted(path for path in _files(folder, root) if path.suffix.lower() in SUFFIXES)


def _read_bytes(path: Path, root: Path) -> bytes:
    if not (path.is_file() and _is_inside(path, root)):
        raise LayoutError(f"{_told(path, root)}: there is no such file.")
    try:
        with path.open("rb") as opened:
            data = opened.read(_GROUND_TRUTH_MAX + 1)
    except OSError as error:
        raise LayoutError(f"{_told(path, root)}: the file cannot be read: {error.strerror}.") from None
    if len(data) > _GROUND_TRUTH_MAX:
        raise LayoutError(f"{_told(path, root)}: at most {_GROUND_TRUTH_MAX >> 20} MiB are read.")
    return data


def _read_text(path: Path, root: Path) -> str:
    data = _read_bytes(path, root)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise LayoutError(f"{_told(path, root)}, line {line}: this is no UTF-8.") from None


def _told(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


# --- query/, database/, ground_truth.csv ----------------------------------------------------------------------

_TRUTH = "ground_truth.csv"


def read_tutorial(folder: Path) -> Task:
    """`query/`, `database/` and `ground_truth.csv`, whose lines `query,relevant` name a picture of each.

    A query with several relevant pictures has several lines; columns of other names are passed over. Raises
    LayoutError.
    """
    queries, database = _by_name(folder, "query"), _by_name(folder, "database")
    truth = _GroundTruth(queries, database)
    truth.read(_read_text(folder / _TRUTH, folder))
    if truth.problems:
        raise LayoutError(*truth.problems)
    found = (
        Query(path, {"relevant": frozenset(f"database/{relevant}" for relevant in truth.lines[name])})
        for name, path in queries.items()
    )
    return Task("tutorial", folder, tuple(database.values()), tuple(found), _plain)


def _by_name(folder: Path, part: str) -> dict[str, Path]:
    made = {path.relative_to(folder / part).as_posix(): path for path in _pictures(folder / part, folder)}
    if not made:
        raise LayoutError(f"{part}/: no picture is in it.")
    return made


class _GroundTruth:
    """What the lines of a file say, and all that is wrong with them."""

    def __init__(self, queries: Mapping[str, Path], database: Mapping[str, Path]) -> None:
        self._known: dict[str, Mapping[str, Path]] = {"query": queries, "relevant": database}
        #: by query: each relevant picture, and the line that names it
        self.lines: dict[str, dict[str, int]] = {name: {} for name in queries}
        self.problems: list[str] = []
        self._mentioned: set[str] = set()

    def read(self, text: str) -> None:
        reader, line, columns = csv.reader(io.StringIO(text, newline=""), strict=True), 1, list[str]()
        try:
            columns = self._header(next(reader, []))
            line = reader.line_num + 1  # where the next record starts; a quoted value may go over several lines
            for values in reader:
                self._take(line, columns, values)
                line = reader.line_num + 1
        except csv.Error as error:
            self._complain(line, f"this is no CSV: {error}.")
        for name in sorted(self.lines.keys() - self._mentioned) if columns else ():
            self.problems.append(f"query/{name}: no line of {_TRUTH} says what is relevant to it.")
        self.problems[:] = dict.fromkeys(self.problems)

    def _header(self, names: list[str]) -> list[str]:
        columns = [name.strip().lower() for name in names]
        for wanted in self._known:
            if columns.count(wanted) != 1:
                how = "names no column" if wanted not in columns else "names more than one column"
                raise LayoutError(f"{_TRUTH}, line 1: the header {how} {wanted!r}; it starts with query,relevant.")
        return columns

    def _take(self, line: int, columns: list[str], values: list[str]) -> None:
        if not values:  # an empty line says nothing wrong
            return
        if len(values) != len(columns):
            self._complain(line, f"{len(values)} values, where the header has {len(columns)}.")
            self._mentioned.update(value.strip() for value in values)  # one problem, told once
            return
        said = {column: value.strip() for column, value in zip(columns, values, strict=True)}
        self._mentioned.add(said["query"])
        if self._all_known(line, said):
            self._keep(line, said["query"], said["relevant"])

    def _all_known(self, line: int, said: Mapping[str, str]) -> bool:
        wrong = [problem for column in self._known if (problem := self._problem(column, said[column]))]
        for problem in wrong:
            self._complain(line, problem)
        return not wrong

    def _problem(self, column: str, name: str) -> str:
        if not name:
            return f"the value of {column!r} is empty."
        folder = "query" if column == "query" else "database"
        return "" if name in self._known[column] else f"there is no picture {folder}/{name}."

    def _keep(self, line: int, query: str, relevant: str) -> None:
        earlier = self.lines[query].setdefault(relevant, line)
        if earlier != line:
            self._complain(line, f"it says the same as line {earlier}.")

    def _complain(self, line: int, problem: str) -> None:
        self.problems.append(f"{_TRUTH}, line {line}: {problem}")


# --- a folder a class -----------------------------------------------------------------------------------------


def read_classes(folder: Path) -> Task:
    """A folder a class; each picture is searched with, and should find the others of its class.

    All pictures below a class's folder belong to it, however deep: further folders are no classes of their own. Raises
    LayoutError for less than two classes.
    """
    classes, beside = _classes(folder)
    if len(classes) < 2:  # noqa: PLR2004 (of one class, whatever is found is right)
        raise LayoutError(f"Classes are two folders with pictures or more; in {folder} there are {len(classes)}.")
    queries = (
        Query(folder / name, {"members": members, "itself": frozenset({name})}, label=label)
        for label, members in classes.items()  # one set a class: a set a query would take the square of their number
        for name in sorted(members)
    )
    made = tuple(queries)
    database = tuple(sorted(query.path for query in made))
    return Task("classes", folder, database, made, _leave_one_out, tuple(_remarks(classes, beside)))


def _classes(folder: Path) -> tuple[dict[str, frozenset[str]], int]:
    """Names by class, and how many pictures lie in none."""
    members = defaultdict[str, set[str]](set)
    for path in _pictures(folder, folder):
        first, *rest = path.relative_to(folder).parts
        members[first if rest else ""].add(_told(path, folder))
    beside = len(members.pop("", ()))
    return {label: frozenset(names) for label, names in sorted(members.items())}, beside


def _remarks(classes: Mapping[str, frozenset[str]], beside: int) -> Iterator[str]:
    for label, members in classes.items():
        if len(members) == 1:
            yield f"{label}: one picture, so that nothing is relevant to it."
    if beside:
        yield f"{beside} pictures lie beside the classes' folders and were left out."


# --- Oxford and Paris -----------------------------------------------------------------------------------------

#: Before the names of Oxford's queries, and of no file's.
_QUERY_PREFIX = "oxc1_"
_QUERY_FILE = "_query.txt"
_BOX_NUMBERS = 4


class _Images:
    """Pictures anywhere below a folder, by the names that ground truth calls them: without suffix, or with."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.paths = _pictures(folder, folder)

    @cached_property
    def _named(self) -> dict[str, list[Path]]:
        named = defaultdict[str, list[Path]](list)
        for path in self.paths:
            named[path.stem].append(path)
            named[path.name].append(path)
        return dict(named)

    def find(self, name: str) -> Path:
        """Raises LookupError that says why not."""
        match self._named.get(name, []):
            case [path]:
                return path
            case []:
                raise LookupError(f"there is no picture {name}.")
            case several:
                told = ", ".join(_told(path, self._folder) for path in several)
                raise LookupError(f"{name} may be any of {told}.")


def read_oxford(folder: Path) -> Task:
    """Pictures and, anywhere below the folder, four files a query: `NAME_query.txt`, `NAME_good.txt`, and so on
    for ok and junk.

    The first holds a picture's name and its query's left, upper, right and lower edge; the others a name a line. All
    pictures below the folder are searched in. Raises LayoutError.
    """
    reader = _Oxford(folder, _Images(folder))
    queries = [reader.query(path) for path in _query_files(folder)]
    if not queries:
        reader.problems.append(f"*{_QUERY_FILE}: there is no such file.")
    if reader.problems:
        raise LayoutError(*reader.problems)
    read = tuple(query for query in queries if query)
    return Task("oxford", folder, tuple(reader.images.paths), read, _original)


def _clashes(grades: Mapping[str, frozenset[str]]) -> Iterator[str]:
    for first, second in combinations(grades, 2):
        for name in sorted(grades[first] & grades[second]):
            yield f"{name} is both {first} and {second}."


def _query_files(folder: Path) -> list[Path]:
    return sorted(path for path in _files(folder, folder) if path.name.endswith(_QUERY_FILE))


@dataclass
class _Oxford:
    folder: Path
    images: _Images

    def __post_init__(self) -> None:
        self.problems: list[str] = []

    def query(self, path: Path) -> Query | None:
        stem, problems = path.name.removesuffix(_QUERY_FILE), len(self.problems)
        grades = {grade: self._names(path.with_name(f"{stem}_{grade}.txt")) for grade in ("good", "ok", "junk")}
        for problem in _clashes(grades):
            self._complain(path, problem)
        if len(self.problems) == problems and not grades["good"] | grades["ok"]:
            self._complain(path, "nothing is relevant to this query.")
        return self._cut(path, self._lines(path), grades)

    def _cut(self, path: Path, lines: list[tuple[int, str]], grades: Mapping[str, frozenset[str]]) -> Query | None:
        try:
            [(line, said)] = lines
            name, *edges = said.split()
            box = Box(*map(float, edges))
        except (TypeError, ValueError):
            self._complain(path, "one line is expected, a name and the left, upper, right and lower edge in pixels.")
            return None
        found = self._find(path, line, name.removeprefix(_QUERY_PREFIX))
        landmark = path.name.removesuffix(_QUERY_FILE).rstrip("0123456789").rstrip("_")
        return Query(found, grades, box, landmark) if found else None

    def _names(self, path: Path) -> frozenset[str]:
        found = (self._find(path, line, name) for line, name in self._lines(path))
        return frozenset(_told(path, self.folder) for path in found if path)

    def _lines(self, path: Path) -> list[tuple[int, str]]:
        try:
            text = _read_text(path, self.folder)
        except LayoutError as error:
            self.problems += error.problems
            return []
        return [(line, said.strip()) for line, said in enumerate(text.splitlines(), 1) if said.strip()]

    def _find(self, path: Path, line: int, name: str) -> Path | None:
        try:
            return self.images.find(name)
        except LookupError as error:
            self._complain(path, str(error.args[0]), line)
            return None

    def _complain(self, path: Path, problem: str, line: int | None = None) -> None:
        where = _told(path, self.folder) + (f", line {line}" if line else "")
        self.problems.append(f"{where}: {problem}")


# --- Oxford and Paris, revisited ------------------------------------------------------------------------------


def read_revisited(folder: Path) -> Task:
    """Pictures, and `gnd_roxford5k.pkl` or `gnd_rparis6k.pkl` as published, or the same structure as JSON.

    `imlist` names the pictures to search in, `qimlist` the queries'; `gnd` has for each query the lists `easy`, `hard`
    and `junk` of positions in `imlist`, and `bbx`, its left, upper, right and lower edge. Raises LayoutError.
    """
    path = _revisited_file(folder)
    reader = _Revisited(folder, path.name, _Images(folder))
    data = _unpickled(path, folder) if path.suffix == ".pkl" else _from_json(path, folder)
    task = reader.task(data)
    if reader.problems:
        raise LayoutError(*reader.problems)
    return task


def _revisited_files(folder: Path) -> list[Path]:
    there = [*folder.glob("gnd_*.pkl"), *folder.glob("gnd_*.json")]
    return sorted(path for path in there if path.is_file() and _is_inside(path, folder))


def _revisited_file(folder: Path) -> Path:
    match _revisited_files(folder):
        case [path]:
            return path
        case []:
            raise LayoutError("gnd_*.pkl or gnd_*.json: there is no such file.")
        case several:
            raise LayoutError(
                f"One file of ground truth is read; there are {', '.join(path.name for path in several)}."
            )


@dataclass
class _Revisited:
    folder: Path
    file: str
    images: _Images

    def __post_init__(self) -> None:
        self.problems: list[str] = []

    def task(self, data: Any) -> Task:
        database, wanted = (self._found(data, key) for key in ("imlist", "qimlist"))
        truths = self._sized(data, "gnd", len(wanted)) if database and wanted else []
        queries = [self._query(f"gnd[{n}]", truth, wanted[n], database) for n, truth in enumerate(truths)]
        read = tuple(query for query in queries if query)
        return Task("revisited", self.folder, tuple(sorted(path for path in database if path)), read, revisited)

    def _found(self, data: Any, key: str) -> list[Path | None]:
        """In the list's own order, which is what positions count."""
        names = _get(data, key)
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            self._complain(key, "a list of names is expected.")
            return []
        for name in (name for name, times in Counter(names).items() if times > 1):
            self._complain(key, f"{name} is in it more than once.")
        return [self._find(f"{key}[{position}]", name) for position, name in enumerate(names)]

    def _find(self, where: str, name: str) -> Path | None:
        try:
            return self.images.find(name)
        except LookupError as error:
            self._complain(where, str(error.args[0]))
            return None

    def _sized(self, data: Any, key: str, size: int) -> list[Any]:
        listed = _get(data, key)
        if isinstance(listed, list) and len(listed) == size:
            return listed
        self._complain(key, "a list is expected, as long as qimlist.")
        return []

    def _query(self, where: str, truth: Any, path: Path | None, database: list[Path | None]) -> Query | None:
        grades = {grade: self._grade(where, truth, grade, database) for grade in ("easy", "hard", "junk")}
        for problem in _clashes(grades):
            self._complain(where, problem)
        try:
            box = Box(*_numbers(_get(truth, "bbx"), _BOX_NUMBERS))
        except (ValueError, OverflowError):
            self._complain(f"{where}.bbx", "the left, upper, right and lower edge in pixels are expected.")
            return None
        return Query(path, grades, box) if path else None

    def _grade(self, where: str, truth: Any, grade: str, database: list[Path | None]) -> frozenset[str]:
        try:
            places = [_place(number, len(database)) for number in _numbers(_get(truth, grade))]
        except ValueError:
            self._complain(f"{where}.{grade}", f"a list of positions in imlist, 0 to {len(database) - 1}, is expected.")
            return frozenset()
        return frozenset(_told(path, self.folder) for place in places if (path := database[place]))

    def _complain(self, where: str, problem: str) -> None:
        self.problems.append(f"{self.file}, {where}: {problem}")


def _get(data: Any, key: str) -> Any:
    """None of what has no such key; an array as the list it stands for."""
    value = data.get(key) if isinstance(data, dict) else None
    return value.numbers if isinstance(value, _Array) else value


def _numbers(listed: Any, size: int | None = None) -> list[float]:
    """Raises ValueError for what is no list of numbers, or not of that size."""
    numbers = list(listed) if isinstance(listed, list | tuple) else None
    if numbers is None or not all(type(number) in {int, float} for number in numbers):
        raise ValueError("no list of numbers")
    if size not in {None, len(numbers)}:
        raise ValueError("not of that size")
    return numbers


def _place(number: float, of: int) -> int:
    if not 0 <= number < of or number != int(number):
        raise ValueError("no position")
    return int(number)


def _from_json(path: Path, folder: Path) -> Any:
    try:
        return json.loads(_read_text(path, folder))
    except json.JSONDecodeError as error:
        raise LayoutError(f"{path.name}, line {error.lineno}: this is no JSON: {error.msg}.") from None
    except (RecursionError, ValueError):
        raise LayoutError(f"{path.name}: its lists are nested too deeply, or its numbers too long.") from None


# --- pickles that others made ---------------------------------------------------------------------------------


def _unpickled(path: Path, folder: Path) -> Any:
    """What a pickle holds, if that is text, numbers, containers and arrays. Nothing that it names is ever called."""
    data = _read_bytes(path, folder)
    try:
        # latin1: how Python 2's strings keep each byte, and numpy's own way with its old arrays
        return _Unpickler(io.BytesIO(data), encoding="latin1").load()
    except _NotAllowed as error:
        raise LayoutError(f"{path.name}: it asks for {error}, which ground truth needs not; it was not read.") from None
    except Exception as error:  # a damaged pickle raises anything
        raise LayoutError(f"{path.name}: this is no pickle that can be read: {type(error).__name__}.") from None


class _NotAllowed(Exception):
    pass


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            # a new one each time: a pickle can set attributes of what it is given
            return partial(_STAND_INS[module.replace("numpy._core", "numpy.core"), name])
        except KeyError:
            raise _NotAllowed(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise _NotAllowed("an object kept elsewhere")


class _Type:
    """Stands in for numpy's dtype: of numbers alone, and none of numpy's C code sees what a file says."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: str) -> None:
        if code not in _STRUCT_CODES:
            raise _NotAllowed(f"an array of {code!r}")
        self._code, self._order = code, "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._order = ">" if state[1] == ">" else "<"

    def listed(self, data: bytes) -> list[float]:
        letter = _STRUCT_CODES[self._code]
        return [number for (number,) in struct.iter_unpack(self._order + letter, data)]


#: numpy's letter and bytes -> struct's letter
_STRUCT_CODES = {
    "i1": "b", "i2": "h", "i4": "i", "i8": "q",
    "u1": "B", "u2": "H", "u4": "I", "u8": "Q",
    "f4": "f", "f8": "d",
}  # fmt: skip


class _Array:
    """Stands in for an array; its numbers are told one after the other, however many dimensions it has."""

    __slots__ = ("numbers",)

    def __init__(self) -> None:
        self.numbers: list[float] = []

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, _, kind, _, data = state
        self.numbers = kind.listed(data.encode("latin1") if isinstance(data, str) else bytes(data))


def _array(*_: Any) -> _Array:
    return _Array()


def _array_over(data: bytes, kind: _Type, *_: Any) -> _Array:
    made = _Array()
    made.numbers = kind.listed(data)
    return made


def _scalar(kind: _Type, data: str | bytes) -> float:
    return kind.listed(data.encode("latin1") if isinstance(data, str) else data)[0]


def _dtype(code: str, *_: Any) -> _Type:
    return _Type(code)


def _as_bytes(text: str = "", _encoding: str = "latin1") -> bytes:
    """How Python 3 writes bytes in old pickles, always by this encoding."""
    return text.encode("latin1")


def _named_alone(*_: Any) -> Any:
    raise _NotAllowed("an array in a way numpy has none")


_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _dtype,
    ("numpy", "ndarray"): _named_alone,  # an argument of the next
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _array_over,
    ("_codecs", "encode"): _as_bytes,
    ("builtins", "bytes"): _as_bytes,
    ("__builtin__", "bytes"): _as_bytes,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
}


# --- which of them --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    #: For people, after "looked for".
    looked_for: str
    fits: Callable[[Path], bool]
    read: Callable[[Path], Task]


def _fits_tutorial(folder: Path) -> bool:
    """Also where the ground truth is missing, or these two would be taken for classes."""
    return (folder / _TRUTH).is_file() or all((folder / part).is_dir() for part in ("query", "database"))


LAYOUTS = {
    "tutorial": Layout(f"query/, database/ and {_TRUTH}", _fits_tutorial, read_tutorial),
    "revisited": Layout("gnd_*.pkl or gnd_*.json", lambda folder: bool(_revisited_files(folder)), read_revisited),
    "oxford": Layout(f"files named *{_QUERY_FILE}", lambda folder: bool(_query_files(folder)), read_oxford),
    "classes": Layout("two folders with pictures or more", lambda folder: len(_classes(folder)[0]) > 1, read_classes),
}


def read(folder: Path, layout: str | None = None) -> Task:
    """The folder by the layout of that name, or by the one that it has. Raises LayoutError."""
    if not folder.is_dir():
        raise LayoutError(f"{folder} is not a folder.")
    if layout is not None and layout not in LAYOUTS:
        raise LayoutError(f"There is no layout {layout!r}. There are: {', '.join(LAYOUTS)}.")
    return LAYOUTS[layout or _detected(folder)].read(folder)


def _detected(folder: Path) -> str:
    # any folders may be classes, so these come last
    fitting = [name for name, layout in LAYOUTS.items() if name != "classes" and layout.fits(folder)]
    if len(fitting) > 1:
        raise LayoutError(f"{folder} fits several layouts, {' and '.join(fitting)}: say which.")
    if not fitting and not LAYOUTS["classes"].fits(folder):
        told = "; ".join(f"{layout.looked_for} ({name})" for name, layout in LAYOUTS.items())
        raise LayoutError(f"{folder} has no layout that is known. Looked for: {told}.")
    return fitting[0] if fitting else "classes"
