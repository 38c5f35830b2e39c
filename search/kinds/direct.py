"""Indexes over the full vectors."""

from search.kinds.base import SCANS, Effort, Parameters, Plan, ivfflat_settings, kmeans_memory_mb, ladder, lists_for

#: An index belongs to its encoder, and to its own build. No asset has a negative id, so the second condition holds for
#: every row; but the planner uses an index only for a query that states its condition. So a query that names a build
#: can use that index and no other, and one that names none is exact.
_OWN = "encoder_id = {plan.encoder_id} AND asset_id <> -{plan.build_id}"

_ASSET = "search_embedding.asset_id"
_GRAPH_MOST_MB = 3000

_CREATE = (
    "CREATE INDEX CONCURRENTLY {plan.index_name} ON search_embedding "
    "USING {method} ((vector::halfvec({plan.dimensions})) halfvec_cosine_ops) WITH ({options}) WHERE " + _OWN
)

_CANDIDATES = (
    "SELECT asset_id, vector FROM search_embedding WHERE " + _OWN + "{passes} "
    "ORDER BY (vector::halfvec({plan.dimensions})) <=> q.vector LIMIT {most}"
)


def _candidates(plan: Plan, most: int, passes: str) -> str:
    return _CANDIDATES.format(plan=plan, most=most, passes=passes)


class Ivfflat:
    """Vectors in lists around centres that k-means found; the lists nearest to the query are searched."""

    name, asset, breadth = "ivfflat", _ASSET, "probes"

    def parameters(self, rows: int, dimensions: int) -> Parameters:
        return {"lists": lists_for(rows)}

    def memory_mb(self, plan: Plan) -> int:
        return kmeans_memory_mb(plan.parameters["lists"], plan.dimensions, 2)

    def create_indexes(self, plan: Plan) -> list[str]:
        return [_CREATE.format(plan=plan, method="ivfflat", options=f"lists = {plan.parameters['lists']}")]

    def breadths(self, plan: Plan) -> list[int]:
        return ladder(plan.parameters["lists"])

    def settings(self, effort: Effort, *, iterate: bool) -> dict[str, str]:
        return ivfflat_settings(effort.breadth, iterate=iterate)

    def candidates(self, plan: Plan, most: int, passes: str, part: int) -> str:
        return _candidates(plan, most, passes)


class Hnsw:
    """A graph of near neighbours in layers (Malkov and Yashunin, 2016). Takes longer to build than the others."""

    name, asset, breadth = "hnsw", _ASSET, "ef_search"

    def parameters(self, rows: int, dimensions: int) -> Parameters:
        return {"m": 16, "ef_construction": 64}

    def memory_mb(self, plan: Plan) -> int:
        """The whole graph should fit, or building takes many times as long; but a machine has only so much.

        Source: pgvector's README, "Index Build Time"; an element has 2 m links, of 6 bytes or so, and pointers.
        """
        return min(_GRAPH_MOST_MB, 64 + plan.rows * (2 * plan.dimensions + 500) // 1_000_000)

    def create_indexes(self, plan: Plan) -> list[str]:
        options = ", ".join(f"{name} = {value}" for name, value in plan.parameters.items())
        return [_CREATE.format(plan=plan, method="hnsw", options=options)]

    def breadths(self, plan: Plan) -> list[int]:
        return [10, 20, 40, 60, 80, 120, 200, 300, 450, 700, 1000]

    def settings(self, effort: Effort, *, iterate: bool) -> dict[str, str]:
        return {"hnsw.ef_search": str(effort.breadth), "hnsw.iterative_scan": SCANS[iterate]}

    def candidates(self, plan: Plan, most: int, passes: str, part: int) -> str:
        return _candidates(plan, most, passes)
