"""How Django takes in the files of a request."""

from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, TemporaryFileUploadHandler

from gallery.errors import Refused
from gallery.outages import outage


class Unspooled(TemporaryUploadedFile):
    """A file that the disk had no room for. Whoever wants to read it raises Refused (storage_full).

    Who takes it in may be looking for a form's CSRF token alone, and could not answer for it.
    """

    def __init__(self, refused: Refused, name: str) -> None:
        UploadedFile.__init__(self, name=name)
        self._refused = refused

    def temporary_file_path(self) -> str:
        raise self._refused

    def close(self) -> None:
        """There is nothing to close."""


class CappedFileUploadHandler(TemporaryFileUploadHandler):
    """Into a file, because the decoder needs a path; of a file that is too large, no more than the limit.

    Its size is counted all the same, so that it is refused for what it is and not for being cut off.
    """

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        FileUploadHandler.new_file(self, *args, **kwargs)
        self.file = None  # type: ignore[assignment]  # what stood here came before, and is whole
        try:
            # Django's own takes over the suffix that a stranger chose, and no file system takes one of any length
            self.file = TemporaryUploadedFile("file", self.content_type, 0, self.charset, self.content_type_extra)
            self.file.name = self.file_name
        except OSError as error:
            self._do_without(error)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if start < settings.MAX_UPLOAD_BYTES and not isinstance(self.file, Unspooled):
            try:
                self.file.write(raw_data)
                self.file.flush()
            except OSError as error:
                self._do_without(error)

    def file_complete(self, file_size: int) -> UploadedFile[bytes] | None:
        if isinstance(self.file, Unspooled):
            self.file.size = file_size
            return self.file
        return super().file_complete(file_size)

    def _do_without(self, error: OSError) -> None:
        refused = outage(error)
        if refused is None:
            raise error
        if self.file is not None:
            with suppress(OSError):  # it writes what it still holds
                self.file.close()
        self.file = Unspooled(refused, self.file_name or "file")
