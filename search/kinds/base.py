"""What a kind of index is asked for."""

import math
from dataclasses import dataclass
from typing import Any, Protocol

Parameters = dict[str, Any]

#: pgvector's advice is 1,000 rows a list; below 30 or so, k-means has too little to learn a centre from.
ROWS_A_LIST = 50


#: pgvector's names of scans that stop after the breadth asked for, and of those that go on.
SCANS = {False: "off", True: "relaxed_order"}
#: Times as many lists are looked through, where few pass a filter, before all that pass are ranked instead.
_FURTHER_PROBES, _PROBES_MOST = 4, 32_768


def ivfflat_settings(probes: int, *, iterate: bool) -> dict[str, str]:
    """Of an index scan that looks through so many lists; to `iterate` is to go on while too few pass a filter."""
    further = {"ivfflat.max_probes": str(min(_FURTHER_PROBES * probes, _PROBES_MOST))} if iterate else {}
    return {"ivfflat.probes": str(probes), "ivfflat.iterative_scan": SCANS[iterate], **further}


@dataclass(frozen=True)
class Plan:
    """One build of an index."""

    build_id: int
    encoder_id: int
    dimensions: int
    index_name: str
    rows: int
    parameters: Parameters


@dataclass(frozen=True)
class Effort:
    """How hard an index looks: its breadth (lists probed, or ef_search), and how many candidates it ranks in full."""

    breadth: int
    candidates: int | None = None


class Kind(Protocol):
    name: str
    #: Where the index's table has the id of an asset.
    asset: str
    #: What pgvector calls the breadth of a scan.
    breadth: str

    def parameters(self, rows: int, dimensions: int) -> Parameters:
        """What to build with, over so many rows."""

    def memory_mb(self, plan: Plan) -> int:
        """maintenance_work_mem that building takes."""

    def create_indexes(self, plan: Plan) -> list[str]:
        """The statements that build it."""

    def breadths(self, plan: Plan) -> list[int]:
        """What to try, ascending."""

    def settings(self, effort: Effort, *, iterate: bool) -> dict[str, str]:
        """Of Postgres, while searching; to `iterate` is to go on for a while until enough pass a filter."""

    def candidates(self, plan: Plan, most: int, passes: str, part: int) -> str:
        """SELECT of (asset_id, vector) of what may be nearest to q.vector, in one part of the index.

        `passes` is a further condition.
        """


def lists_for(rows: int) -> int:
    """How many lists an ivfflat index over so many rows should have: their square root, at least 50 rows each.

    At a million that is pgvector's rows / 1000; below, it measures better: 13,503 rows in 13 lists of a thousand take
    as long to search as 116 lists' 20 nearest.
    """
    return max(1, min(round(math.sqrt(rows)), rows // ROWS_A_LIST))


def ladder(most: int) -> list[int]:
    """Each number up to eight, then in steps of a quarter, and the most last."""
    steps = [1]
    while steps[-1] < most:
        steps.append(min(most, max(steps[-1] + 1, round(steps[-1] * 1.25))))
    return steps


def kmeans_memory_mb(lists: int, dimensions: int, bytes_a_dimension: float) -> int:
    """What pgvector's k-means (Elkan's) holds: samples, a lower bound for each of them and each list, and centres.

    Source: pgvector 0.8, src/ivfkmeans.c; a third on top for what else a build needs.
    """
    samples = max(10_000, 50 * lists)
    held = samples * dimensions * bytes_a_dimension + 4 * lists * (samples + lists + 2 * dimensions)
    return max(64, math.ceil(held * 4 / 3 / 1_000_000))
