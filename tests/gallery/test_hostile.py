"""Files that were made to break what reads them."""

import re
import time
import zipfile
from collections import Counter

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from gallery.errors import Code
from tests.gallery import hostile_files
from tests.product import running, wait_for

#: Of this project's own kinds: no more may come of a file.
REFUSALS = {
    Code.EMPTY, Code.TOO_LARGE, Code.TOO_MANY_PIXELS, Code.TOO_MANY_FRAMES, Code.UNSUPPORTED_TYPE, Code.TRUNCATED,
    Code.CORRUPT, Code.DECODE_TIMEOUT, Code.DECODE_MEMORY,
}  # fmt: skip
#: Seconds, on a slow core.
LONGEST = 10
#: Of the web process, beyond what it has once it serves.
MOST_MEGABYTES = 300
#: Words that web server and workers are started with.
SERVING = {"assetsearch.wsgi", "qcluster"}


@pytest.fixture
def outcome(api):
    """outcome(name, data): what an upload comes to, "stored" or a code."""

    def send(name, data):
        response = api.post("/api/v1/assets/", {"file": SimpleUploadedFile(name, data)}, format="multipart")
        assert response.status_code in {200, 201, 400, 413, 415}, (name, response.status_code, response.content)
        return response.json().get("code", "stored")

    return send


def test_scans_are_stored(outcome, shared):
    files = sorted((shared / "dicom").glob("*.dcm"))
    assert files
    assert {path.name: outcome(path.name, path.read_bytes()) for path in files} == {
        path.name: "stored" for path in files
    }


@pytest.mark.parametrize(
    ("name", "data", "code"), [pytest.param(*told, id=told[0]) for told in hostile_files.refused_files()]
)
def test_file_made_to_break_is_refused_with_its_code(outcome, name, data, code):
    assert outcome(name, data) == code


# --- the whole product, which outlives them all ------------------------------------------------------------------


@pytest.fixture(scope="module")
def product(tmp_path_factory, prepared):
    with running(tmp_path_factory.mktemp("hostile") / "data", prepared=prepared, API_RATE_USER="100000/min") as made:
        yield made


@pytest.fixture
def sent(product):
    """sent(files): what each came to by the API, and the web process and the workers are as they were."""
    client = product.sign_in()
    before = {process.pid: process for process in serving(product)}
    held = max(serving(product, "assetsearch.wsgi"), key=megabytes)  # of the two, the one that answers

    def send(name, data):
        began = time.monotonic()
        answer = client.session.post(f"{client.url}/assets/", files={"file": (name, data)}, timeout=60)
        seconds.append(time.monotonic() - began)
        assert answer.status_code in {200, 201, 400, 413, 415}, (name, answer.status_code, answer.text)
        memory.append(megabytes(held))
        return answer.json()

    seconds, memory = [], [megabytes(held)]
    yield lambda files: {name: send(name, data) for name, data in files.items()}
    wait_for(client.is_settled, seconds=300, what="the embedding of what was stored")
    print(f"slowest {max(seconds):.1f} s; web process {memory[0]:.0f} MB before, {max(memory):.0f} MB at most")
    assert before.keys() <= {process.pid for process in serving(product)}
    assert max(seconds) < LONGEST
    assert max(memory) - memory[0] < MOST_MEGABYTES


def serving(product, *words):
    """Processes that were started so; by default those of the web server and the workers."""
    return [one for one in product.processes() if set(words or SERVING) & set(one.cmdline())]


def megabytes(process):
    return process.memory_info().rss / 1e6


@pytest.fixture(params=["generated", "synthetic", "real"])
def files(request):
    """By name: of this project's generator, and of a folder of others' where there is one."""
    if request.param == "generated":
        made = {name: data for name, data, _ in hostile_files.refused_files()}
        return {**made, **dict(hostile_files.mutants(each=20))}
    folder = request.getfixturevalue("shared") / "hostile" / request.param
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.product
@pytest.mark.timeout(900)
def test_product_outlives_hostile_files_and_takes_the_same_ones_from_a_zip(product, sent, files, tmp_path):
    told = sent(files)
    outcomes = Counter(answer.get("code", "stored") for answer in told.values())
    print(len(files), outcomes)
    assert set(outcomes) <= {"stored", *REFUSALS}
    assert outcomes["stored"] > 0
    assert outcomes[Code.CORRUPT] > 0
    forget_all(product)  # or what is stored would not be decoded again
    refused, tally = imported(product, tmp_path / "hostile.zip", files)
    print("by ZIP:", tally)
    expected = {name for name, answer in told.items() if "code" in answer}
    # which, and not why: what needs too much memory or time meets one limit or the other
    assert refused.keys() == expected, {name: refused.get(name) for name in refused.keys() ^ expected}


def forget_all(product):
    product.command("shell", "-v", "0", "-c", "from gallery.models import Asset; Asset.objects.all().delete()")


def imported(product, path, files):
    """Why `import_folder` refused which of the files, packed, and what it says of all."""
    with zipfile.ZipFile(path, "w") as archive:  # stored: what shrinks to less than a thousandth is not even opened
        for number, data in enumerate(files.values()):
            archive.writestr(f"{number}.jpg", data)
    done = product.command("import_folder", str(path), check=False)
    assert done.returncode == 1, done.stderr
    *lines, tally = done.stdout.splitlines()
    names = list(files)
    refused = [re.fullmatch(r"refused  (\d+)\.jpg: (.*)", line).groups() for line in lines]
    return {names[int(number)]: why for number, why in refused}, tally
