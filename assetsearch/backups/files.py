"""Files brought from one place to another, at the least cost."""

import errno
import os
import shutil
from pathlib import Path

#: The places are on different file systems, the file system has no hard links, they are forbidden, or there are as many
#: of this file as it allows.
_CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


def bring(source: Path, target: Path) -> str:
    """Link or copy it, and tell which. Raises FileNotFoundError where there is no such source.

    A hard link is as good as a copy here: a stored file is never written to again, only removed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
    else:
        return "linked"
    told = source.stat()
    shutil.copyfile(source, target)
    os.utime(target, ns=(told.st_atime_ns, told.st_mtime_ns))  # by which the next backup knows that it is unchanged
    return "copied"
