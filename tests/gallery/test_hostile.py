"""Files that were made to break what reads them."""

from collections import Counter

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from gallery.errors import Code


@pytest.mark.parametrize("kind", ["synthetic", "real"])
@pytest.mark.timeout(600)
def test_every_hostile_file_is_stored_or_refused_with_a_code(api, shared, kind):
    outcomes = Counter()
    for path in sorted((shared / "hostile" / kind).rglob("*")):
        if not path.is_file():
            continue
        upload = SimpleUploadedFile(path.name, path.read_bytes())
        response = api.post("/api/v1/assets/", {"file": upload}, format="multipart")
        assert response.status_code in {200, 201, 400, 413, 415}, (path.name, response.status_code, response.content)
        outcomes[response.json().get("code", "stored")] += 1
    print(outcomes)
    assert set(outcomes) <= {"stored", *Code}
    assert outcomes["stored"] > 0
