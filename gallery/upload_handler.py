"""How Django takes in the files of a request."""

from django.conf import settings
from django.core.files.uploadhandler import TemporaryFileUploadHandler


class CappedFileUploadHandler(TemporaryFileUploadHandler):
    """Into a file, because the decoder needs a path; of a file that is too large, no more than the limit.

    Its size is counted all the same, so that it is refused for what it is and not for being cut off.
    """

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if start < settings.MAX_UPLOAD_BYTES:
            self.file.write(raw_data)
