"""How the ZIP file of an import is taken in, which may be larger than a picture."""

from django.conf import settings

from gallery.upload_handler import CappedFileUploadHandler


class ArchiveUploadHandler(CappedFileUploadHandler):
    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if start < settings.MAX_IMPORT_BYTES:
            super().receive_data_chunk(raw_data, 0)  # by where a piece begins, it drops what is too large for a picture
