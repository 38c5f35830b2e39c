import errno

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.test import RequestFactory

from gallery import upload_handler
from gallery.errors import Code, Refused


def test_file_that_finds_no_room_leaves_those_before_it_whole(monkeypatch):
    made = []

    def full_after_the_first(*given):
        if made:
            raise OSError(errno.ENOSPC, "No space left on device")
        made.append(TemporaryUploadedFile(*given))
        return made[0]

    monkeypatch.setattr(upload_handler, "TemporaryUploadedFile", full_after_the_first)
    files = [SimpleUploadedFile(f"{name}.jpg", name * 100) for name in (b"1", b"2")]
    request = RequestFactory().post("/", {"file": files})
    first, second = request.FILES.getlist("file")
    assert first.read() == b"1" * 100
    with pytest.raises(Refused) as refused:
        second.temporary_file_path()
    assert refused.value.code == Code.STORAGE_FULL
