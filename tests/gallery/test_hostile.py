"""Files that were made to break what reads them."""

import time
from collections import Counter

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from gallery.errors import Code
from tests.gallery import hostile_files

#: Of this project's own kinds: no more may come of a file.
REFUSALS = {
    Code.EMPTY, Code.TOO_LARGE, Code.TOO_MANY_PIXELS, Code.TOO_MANY_FRAMES, Code.UNSUPPORTED_TYPE, Code.TRUNCATED,
    Code.CORRUPT, Code.DECODE_TIMEOUT, Code.DECODE_MEMORY,
}  # fmt: skip
#: Seconds, on a slow core.
LONGEST = 10


@pytest.fixture
def outcome(api):
    """outcome(name, data): what an upload comes to, "stored" or a code."""

    def send(name, data):
        began = time.monotonic()
        response = api.post("/api/v1/assets/", {"file": SimpleUploadedFile(name, data)}, format="multipart")
        assert response.status_code in {200, 201, 400, 413, 415}, (name, response.status_code, response.content)
        assert time.monotonic() - began < LONGEST, name
        return response.json().get("code", "stored")

    return send


@pytest.mark.parametrize("kind", ["synthetic", "real"])
@pytest.mark.timeout(600)
def test_every_hostile_file_is_stored_or_refused_with_a_code(outcome, shared, kind):
    files = [path for path in sorted((shared / "hostile" / kind).rglob("*")) if path.is_file()]
    outcomes = Counter(outcome(path.name, path.read_bytes()) for path in files)
    print(outcomes)
    assert set(outcomes) <= {"stored", *REFUSALS}
    assert outcomes["stored"] > 0


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


@pytest.mark.timeout(600)
def test_mutants_are_stored_or_refused_with_a_code(outcome):
    outcomes = Counter(outcome(name, data) for name, data in hostile_files.mutants(each=20))
    print(outcomes)
    assert set(outcomes) <= {"stored", *REFUSALS}
    assert outcomes["stored"] > 0
    assert outcomes[Code.CORRUPT] > 0
