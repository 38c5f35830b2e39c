"""Every environment variable that is read, as the README's table or as .env.example.

Run `python -m assetsearch.configuration table` or `... example`.
"""

import sys
from collections.abc import Iterable

from assetsearch import settings  # noqa: F401 (reads the variables, which records them)
from assetsearch.env import Variable, variables

_EXAMPLE_HEADER = """\
# Copy to .env and take the # away from what you change.
#
# `docker compose` reads .env by itself. Nothing else does: for `make run`, load it into the shell first with
#     set -a; . ./.env; set +a
#
# docker-compose.yml sets DATABASE_URL, DATA_DIR, HOST and MEDIA_REDIRECT itself, and there PORT is the port that the
# proxy is published on.

# Docker only. Password of Postgres, letters and digits; it is set when the database is made. Default: assetsearch
#POSTGRES_PASSWORD=assetsearch

# Docker only. Empty: the PyTorch build for NVIDIA GPUs. Default: the small one for processors.
#PIP_EXTRA_INDEX_URL=
"""


def table(known: Iterable[Variable]) -> str:
    """In Markdown."""
    rows = [f"| `{one.name}` | {_code(one.default)} | {one.meaning.replace('|', chr(92) + '|')} |" for one in known]
    return "\n".join(["| Variable | Default | Meaning |", "|---|---|---|", *rows])


def _code(default: str) -> str:
    return f"`{default}`" if default else ""


def example(known: Iterable[Variable]) -> str:
    """In the form of .env, each variable commented out, with its default."""
    return "\n".join([_EXAMPLE_HEADER, *(f"# {one.meaning}\n#{one.name}={one.default}\n" for one in known)])


if __name__ == "__main__":
    forms = {"table": table, "example": example}
    if len(sys.argv) != 2 or sys.argv[1] not in forms:  # noqa: PLR2004 (the program and one word)
        sys.exit(__doc__)
    sys.stdout.write(forms[sys.argv[1]](variables.values()).rstrip("\n") + "\n")
