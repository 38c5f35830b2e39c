"""Files in a bucket of S3, or of another object store that speaks its protocol.

Imported where S3_BUCKET names one, and nowhere else: boto3 takes most of a second to load.
"""

import errno
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from http import HTTPStatus
from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.files import File
from s3transfer.exceptions import RetriesExceededError
from storages.backends.s3 import S3Storage

from gallery.storage import StorageUnavailable

logger = logging.getLogger(__name__)

#: Bytes of a file that is read; what is larger goes to the spool.
_MAX_MEMORY_BYTES = 8_000_000
#: Seconds, and attempts. A page that waits for them in vain is answered within a minute.
_CONNECT_S, _READ_S, _ATTEMPTS = 3, 20, 2
#: Seconds after nobody answered in which nobody is asked: who has many files to ask for would wait for each.
_PAUSE_S = 5
#: Parts of a file under way at a time, 8 MB each: 190 MB took 119 MB of memory with boto3's ten.
_PARTS = 3
#: What object stores call it when a bucket, or all of them, may hold no more.
_FULL = re.compile("Quota|StorageFull|InsufficientStorage")
#: What they say of one object, where others may well be read: that it was archived, or that its key is gone.
_UNREADABLE = {"InvalidObjectState", "KMS.DisabledException", "KMS.NotFoundException"}


class BucketStorage(S3Storage):  # type: ignore[misc]  # it has no types
    """Private objects, under names that are never written to twice, reached by signed addresses alone."""

    #: By the monotonic clock.
    _pause_ends = 0.0

    def get_default_settings(self) -> dict[str, Any]:
        return {
            **super().get_default_settings(),
            "bucket_name": settings.S3_BUCKET,
            "endpoint_url": settings.S3_ENDPOINT_URL or None,
            "region_name": settings.S3_REGION or None,
            "file_overwrite": False,
            "max_memory_size": _MAX_MEMORY_BYTES,
            # without an ACL an object is private; buckets as Amazon makes them refuse requests that name one
            "default_acl": None,
            "transfer_config": _transfer_config(),
            "client_config": Config(
                connect_timeout=_CONNECT_S,
                read_timeout=_READ_S,
                retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
                signature_version="s3v4",
                # a name below the endpoint's own would need a certificate, and often there is none
                s3={"addressing_style": "path" if settings.S3_ENDPOINT_URL else "auto"},
            ),
        }

    @cached_property
    def connection(self) -> Any:
        """One for all threads, which its clients bear: to make one takes longer than to read a file."""
        return super().connection

    def names(self, prefix: str) -> Iterator[str]:
        with self._asking():
            for stored in self.bucket.objects.filter(Prefix=prefix):
                yield stored.key

    def put_there(self, name: str) -> datetime:
        return self.get_modified_time(name)

    def overwrite(self, name: str, content: File[bytes]) -> None:
        self._save(name, content)

    def exists(self, name: str) -> bool:
        """False also where the bucket is missing: who asks is about to write, and is told then."""
        with self._asking():
            return bool(super().exists(name))

    def size(self, name: str) -> int:
        with self._asking_for_a_file():
            return int(super().size(name))

    def get_modified_time(self, name: str) -> datetime:
        with self._asking_for_a_file():
            modified: datetime = super().get_modified_time(name)
            return modified

    def url(self, *args: Any, **kwargs: Any) -> str:
        with _os_errors():  # of keys to sign with, which may be missing
            return str(super().url(*args, **kwargs))

    def delete(self, name: str) -> None:
        with self._asking():
            super().delete(name)

    def _open(self, name: str, mode: str = "rb") -> Any:
        with self._asking_for_a_file():
            opened = super()._open(name, mode)
            opened.seek(0)  # fetches it, so that what goes wrong does so here and not midway
            return opened

    def _save(self, name: str, content: File[bytes]) -> str:
        with self._asking():
            return str(super()._save(name, content))

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Raises StorageUnavailable at once where nobody answered just now."""
        if time.monotonic() < self._pause_ends:
            raise StorageUnavailable
        try:
            with _os_errors():
                yield
        except StorageUnavailable as error:
            if isinstance(error.__cause__, _UNANSWERED):
                self._pause_ends = time.monotonic() + _PAUSE_S
            raise

    @contextmanager
    def _asking_for_a_file(self) -> Iterator[None]:
        """Tells a file that is missing from a bucket that is: asked for a file's head, stores say the same of both."""
        try:
            with self._asking():
                yield
        except FileNotFoundError:
            with self._asking():
                self.connection.meta.client.head_bucket(Bucket=self.bucket_name)
            raise


def _transfer_config() -> TransferConfig:
    # one attempt, as each of its requests has its own
    config = TransferConfig(max_concurrency=_PARTS, num_download_attempts=1)
    config.max_in_memory_upload_chunks = _PARTS
    return config


#: No answer, or not the whole of it; or no request could be made.
_UNANSWERED = (BotoCoreError, RetriesExceededError)


@contextmanager
def _os_errors() -> Iterator[None]:
    """What goes wrong as the file system would say it."""
    try:
        yield
    except ClientError as error:
        raise _as_os_error(error) from error
    except _UNANSWERED as error:
        logger.warning("The bucket %s cannot be reached: %s", settings.S3_BUCKET, error)
        raise StorageUnavailable from error


def _as_os_error(error: ClientError) -> OSError:
    status, code = error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
    if status == HTTPStatus.NOT_FOUND and code != "NoSuchBucket" and error.operation_name != "HeadBucket":
        return FileNotFoundError(errno.ENOENT, str(error))
    if code in _UNREADABLE:
        return OSError(errno.EIO, str(error))
    if status == HTTPStatus.INSUFFICIENT_STORAGE or _FULL.search(code):
        return OSError(errno.EDQUOT, str(error))
    logger.warning("The bucket %s refuses: %s", settings.S3_BUCKET, error)
    return StorageUnavailable()
