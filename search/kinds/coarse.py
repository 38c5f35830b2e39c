"""Coarse to fine: a compact code of each vector finds candidates by ivfflat, the full vectors rank them."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.kinds.base import ROWS_A_LIST, Effort, Parameters, Plan, kmeans_memory_mb, ladder, lists_for
from search.vectors import FloatArray

#: Candidates that are tried for ten hits.
LEAST_CANDIDATES, MOST_CANDIDATES = 20, 1000
_SEED = 20

_CREATE = (
    "CREATE INDEX CONCURRENTLY {plan.index_name} ON search_code "
    "USING ivfflat (({code}) {operators}) WITH (lists = {lists}) WHERE build_id = {plan.build_id}"
)
_CANDIDATES = (
    "SELECT mine.asset_id, mine.vector FROM ("
    "SELECT asset_id FROM search_code WHERE build_id = {plan.build_id}{passes} "
    "ORDER BY ({code}) {operator} q.code LIMIT {candidates}) near "
    "JOIN search_embedding AS mine ON mine.asset_id = near.asset_id AND mine.encoder_id = {plan.encoder_id} "
    "AND mine.vector IS NOT NULL"
)


@dataclass(frozen=True)
class Projection:
    """What makes codes: vectors less `mean`, (d,), times `matrix`, (d, c); both float32. Without a matrix, c = d."""

    mean: FloatArray
    matrix: FloatArray | None = None

    def project(self, vectors: FloatArray) -> FloatArray:
        """(n, d) to (n, c), float32."""
        centred: FloatArray = vectors - self.mean
        return centred if self.matrix is None else centred @ self.matrix

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        arrays = {"mean": self.mean} | ({} if self.matrix is None else {"matrix": self.matrix})
        np.savez(buffer, **arrays)  # type: ignore[arg-type]  # its stubs take the arrays for its own option
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Projection":
        with np.load(io.BytesIO(data)) as arrays:
            return cls(arrays["mean"], arrays.get("matrix"))


class Coarse:
    """A kind whose index is over codes in a table of their own."""

    name: str
    breadth = "probes"
    #: Column, operator class and operator of codes.
    column: str
    type: str
    operators: str
    operator: str
    #: Lists, in multiples of what an index over full vectors has: codes are cheap to scan, centres of codes as well.
    more_lists = 1

    def size(self, rows: int, dimensions: int) -> int:
        """Of a code: numbers or bits."""
        raise NotImplementedError

    def fit(self, sample: FloatArray, size: int) -> Projection:
        """Learn from (n, d) vectors how to make codes."""
        raise NotImplementedError

    def encode(self, projection: Projection, vectors: FloatArray) -> NDArray[Any]:
        """(n, d) vectors to n codes, as rows of float16 or of packed bits."""
        raise NotImplementedError

    def bytes_a_dimension(self) -> float:
        raise NotImplementedError

    def parameters(self, rows: int, dimensions: int) -> Parameters:
        lists = max(1, min(self.more_lists * lists_for(rows), rows // ROWS_A_LIST))
        return {"lists": lists, "size": self.size(rows, dimensions)}

    def memory_mb(self, plan: Plan) -> int:
        return kmeans_memory_mb(plan.parameters["lists"], plan.parameters["size"], self.bytes_a_dimension())

    def create_index(self, plan: Plan) -> str:
        return _CREATE.format(
            plan=plan, code=self._code(plan), operators=self.operators, lists=plan.parameters["lists"]
        )

    def breadths(self, plan: Plan) -> list[int]:
        return ladder(plan.parameters["lists"])

    def settings(self, effort: Effort) -> dict[str, str]:
        return {"ivfflat.probes": str(effort.breadth), "ivfflat.iterative_scan": "relaxed_order"}

    def candidates(self, plan: Plan, effort: Effort, k: int, passes: str) -> str:
        return _CANDIDATES.format(
            plan=plan,
            code=self._code(plan),
            operator=self.operator,
            candidates=max(k, effort.candidates or 0),
            passes=passes.format(asset="search_code.asset_id"),
        )

    def code_type(self, plan: Plan) -> str:
        return f"{self.type}({plan.parameters['size']})"

    def _code(self, plan: Plan) -> str:
        return f"{self.column}::{self.code_type(plan)}"


class Pca(Coarse):
    """The leading principal components, in half precision."""

    name = "pca"
    column, type, operators, operator = "reduced", "halfvec", "halfvec_ip_ops", "<#>"
    more_lists = 4

    def size(self, rows: int, dimensions: int) -> int:
        return max(1, min(192, dimensions // 4))

    def fit(self, sample: FloatArray, size: int) -> Projection:
        import faiss

        learned = faiss.PCAMatrix(sample.shape[1], size)
        learned.train(sample)
        matrix = faiss.vector_to_array(learned.A).reshape(size, -1).T
        # not centred: an inner product of projections is then the part of the full one that lies in their span
        return Projection(np.zeros(sample.shape[1], np.float32), np.ascontiguousarray(matrix))

    def encode(self, projection: Projection, vectors: FloatArray) -> NDArray[Any]:
        return projection.project(vectors).astype(np.float16)

    def bytes_a_dimension(self) -> float:
        return 2


class _Bits(Coarse):
    column, type, operators, operator = "bits", "bit", "bit_hamming_ops", "<~>"

    def encode(self, projection: Projection, vectors: FloatArray) -> NDArray[Any]:
        return np.packbits(projection.project(vectors) > 0, axis=1)

    def bytes_a_dimension(self) -> float:
        return 1 / 8


class SignBits(_Bits):
    """Whether each number is above its mean."""

    name = "bits"

    def size(self, rows: int, dimensions: int) -> int:
        return dimensions

    def fit(self, sample: FloatArray, size: int) -> Projection:
        return Projection(sample.mean(axis=0))


class Lsh(_Bits):
    """On which side of random hyperplanes a vector lies (Charikar, 2002)."""

    name = "lsh"

    def size(self, rows: int, dimensions: int) -> int:
        return 1024

    def fit(self, sample: FloatArray, size: int) -> Projection:
        planes = np.random.default_rng(_SEED).standard_normal((sample.shape[1], size), dtype=np.float32)
        return Projection(sample.mean(axis=0), planes)


class Itq(_Bits):
    """Signs of principal components, turned so that signs lose least (Gong and Lazebnik, 2011)."""

    name = "itq"

    def size(self, rows: int, dimensions: int) -> int:
        return min(512, dimensions)

    def fit(self, sample: FloatArray, size: int) -> Projection:
        import faiss

        learned = faiss.ITQTransform(sample.shape[1], size, True)  # noqa: FBT003 (with PCA; it takes no keywords)
        learned.train(sample)
        matrix = faiss.vector_to_array(learned.pca_then_itq.A).reshape(size, -1).T
        return Projection(faiss.vector_to_array(learned.mean), np.ascontiguousarray(matrix))
