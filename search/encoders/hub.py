"""Fetching one file of a model from the hub, into the hub's own cache, with resume after any interruption.

huggingface_hub resumes a download only within one process: since 1.18 it throws a partial file away when the
process ends (huggingface_hub #4196). Weights are 90 MB to 4.5 GB, so the bytes are fetched here into a
partial file that stays, and the library then finds its blob complete and only links it into place.
"""

import errno
import hashlib
import logging
import re
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from django.utils.translation import gettext_noop as _

from search.encoders.base import EncoderUnavailable

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

logger = logging.getLogger(__name__)

#: Seconds until a hub that does not answer counts as down. A socket's own time-out does not bound this: it
#: starts anew for every address of the host, and does not cover the look-up of its name.
ANSWER_S = 12
#: Seconds between two log lines of a download.
PROGRESS_S = 5
#: The hub's name (ETag) for a large file, in its cache too, is the SHA-256 of its content.
SHA256_NAME = re.compile(r"[0-9a-f]{64}")

T = TypeVar("T")


@dataclass(frozen=True)
class HubFile:
    repository: str
    #: A commit, or a branch: then the commit at which it stood when the file was first asked for.
    revision: str
    name: str

    def __str__(self) -> str:
        return f"{self.name} of {self.repository} at revision {self.revision[:12]}"


def fetch(file: HubFile) -> Path:
    """The file in the hub's cache, downloaded unless it is there. Asks no network when it is."""
    if (path := _cached(file)) is not None:
        return path
    try:
        return _download(file)
    except EncoderUnavailable:
        raise
    except Exception as error:
        # Of any kind: the client lets its HTTP library's errors through, and has changed that library twice.
        raise _explained(error, file) from error


def forget(path: Path) -> None:
    """Remove a cached file, and the blob it links to."""
    blob = path.resolve()
    path.unlink()
    blob.unlink(missing_ok=True)


def is_as_named(path: Path, name: str) -> bool:
    """Whether the content has the SHA-256 that its name states; True of a name that states none."""
    if not SHA256_NAME.fullmatch(name):
        return True
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == name


def _cached(file: HubFile) -> Path | None:
    from huggingface_hub import constants, try_to_load_from_cache

    path = try_to_load_from_cache(file.repository, file.name, cache_dir=constants.HF_HUB_CACHE, revision=file.revision)
    return Path(path) if isinstance(path, str) else None


def _download(file: HubFile) -> Path:
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]  # documented, not in __all__

    url = hf_hub_url(file.repository, file.name, revision=file.revision)
    announced = _in_time(partial(get_hf_file_metadata, url))
    if announced.commit_hash is None or announced.etag is None:
        raise EncoderUnavailable(
            _("%(url)s does not answer as a model hub does.") % {"url": url}, _("Check HF_ENDPOINT and the proxy.")
        )
    cache = Path(constants.HF_HUB_CACHE)
    blob = cache / f"models--{file.repository.replace('/', '--')}" / "blobs" / announced.etag
    lock = cache / ".locks" / f"{blob.name}.part.lock"
    for folder in (blob.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):  # web and workers start together, and one download serves them all
        if not blob.exists():
            _fill(blob, url, file, announced)
    return Path(_in_time(partial(hf_hub_download, file.repository, file.name, revision=file.revision)))


def _fill(blob: Path, url: str, file: HubFile, announced: "HfFileMetadata") -> None:
    part = blob.with_name(f"{blob.name}.part")
    size = announced.size or 0
    if size and _size(part) > size:
        part.unlink()
    _require_space(blob.parent, size - _size(part))
    logger.info("Fetching %s (%.1f MB) from %s.", file, size / 1e6, url)
    _transfer(part, url, file.name, announced.size)
    if not is_as_named(part, blob.name):
        part.unlink()
        raise EncoderUnavailable(
            _("What %(url)s sent is not what it had announced.") % {"url": url},
            _("Try again; check any proxy between."),
        )
    part.replace(blob)


def _transfer(part: Path, url: str, name: str, size: int | None) -> None:
    """All of the file into `part`, from where it ends. Goes on for as long as each attempt brings bytes."""
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # likewise

    while True:
        have = _size(part)
        try:
            with part.open("ab") as stream:
                return http_get(
                    url,
                    stream,
                    resume_size=have,
                    headers=build_hf_headers(),
                    expected_size=size,
                    displayed_filename=name,
                    tqdm_class=_progress_bar(),
                )
        except OSError:  # the disk, a refusal, a wrong length: nothing that going on would heal
            raise
        except Exception:
            if _size(part) == have:
                raise


def _progress_bar() -> Any:
    """A bar on a terminal, log lines elsewhere."""
    from tqdm import tqdm

    if sys.stderr.isatty():
        return tqdm
    return partial(tqdm, file=_LogLines(), mininterval=PROGRESS_S, ascii=True, ncols=0)


class _LogLines:
    """A stream for tqdm: each redraw of the bar becomes a log line."""

    def write(self, text: str) -> None:
        if line := text.strip():
            logger.info("%s", line)

    def flush(self) -> None:
        pass


def _in_time(call: Callable[[], T]) -> T:
    """What the call returns, or TimeoutError after ANSWER_S; its thread is then left to end by itself."""
    answer: Future[T] = Future()
    Thread(target=_settle, args=(answer, call), daemon=True).start()
    return answer.result(timeout=ANSWER_S)


def _settle(answer: Future[T], call: Callable[[], T]) -> None:
    try:
        answer.set_result(call())
    except BaseException as error:  # raised again in the thread that waits
        answer.set_exception(error)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _require_space(folder: Path, size_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if size_bytes > free:
        raise OSError(errno.ENOSPC, f"{size_bytes / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free", str(folder))


def _explained(error: Exception, file: HubFile) -> EncoderUnavailable:
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    hub = constants.ENDPOINT
    if isinstance(error, HfHubHTTPError):
        return _refused(hub, error.response.status_code, file)
    if isinstance(error, OfflineModeIsEnabled):
        return EncoderUnavailable(
            _("%(file)s is not in the cache, and HF_HUB_OFFLINE is set.") % {"file": file},
            _("Unset it for the first start."),
        )
    if isinstance(error, OSError) and error.errno:  # the disk's: the HTTP library's errors carry no number
        return EncoderUnavailable(
            _("The model cache cannot be written: %(error)s.") % {"error": error},
            _("Free some space there and grant access, or name another folder in HF_HOME."),
        )
    detail = str(error).strip().partition("\n")[0] or f"no answer within {ANSWER_S} s"
    reason = _("The model hub at %(hub)s could not be reached, or broke off, for %(file)s: %(detail)s.")
    return EncoderUnavailable(
        reason % {"hub": hub, "file": file, "detail": detail},
        _("Check the network and HF_ENDPOINT and start again, or put the model's files in MODEL_DIR."),
    )


def _refused(hub: str, status: int, file: HubFile) -> EncoderUnavailable:
    if status == HTTPStatus.NOT_FOUND:
        return EncoderUnavailable(
            _("The model hub at %(hub)s has no %(file)s (404).") % {"hub": hub, "file": file},
            _("Check HF_ENDPOINT: a mirror must hold that revision."),
        )
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        refusal = _(
            "The model hub at %(hub)s refuses %(file)s (%(status)s): it is not there, or only for those it knows."
        )
        return EncoderUnavailable(
            refusal % {"hub": hub, "file": file, "status": status},
            _("Check HF_ENDPOINT, and HF_TOKEN: an expired token is refused where none would not be."),
        )
    return EncoderUnavailable(
        _("The model hub at %(hub)s answers %(status)s for %(file)s.") % {"hub": hub, "file": file, "status": status},
        _("Try again in some minutes."),
    )
