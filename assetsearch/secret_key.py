"""The key that signs sessions, where none is given."""

import os
from pathlib import Path

from django.core.management.utils import get_random_secret_key


def read_or_make(path: Path) -> str:
    """The key kept in the file; made on first use, readable by its owner alone."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f"{path.name}.{os.getpid()}")
        made.touch(mode=0o600)
        made.write_text(get_random_secret_key())
        try:
            path.hardlink_to(made)  # atomic, and it fails where another process was first
        except FileExistsError:
            pass
        finally:
            made.unlink(missing_ok=True)
    return path.read_text()
