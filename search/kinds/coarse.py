"""Coarse to fine: a compact code of each vector finds candidates by ivfflat, the full vectors rank them."""

import io
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.kinds.base import Effort, Parameters, Plan, ivfflat_settings, kmeans_memory_mb, ladder
from search.vectors import FloatArray

#: Candidates that are tried for ten hits.
LEAST_CANDIDATES, MOST_CANDIDATES = 20, 1000
#: Vectors are parted into groups of about so many, at most so many groups, and each has lists of its own. So there can
#: be ten times the lists for the same number of centres that a query is compared with.
_ROWS_A_GROUP, _GROUPS_MOST = 15_000, 64
#: A query is searched for in every group whose centre is less than this times the probes further (by cosine) than the
#: nearest. For 12 probes that is 1.1 of 64 groups on average.
_MARGIN_A_PROBE = 0.0025
#: Lists a tenth as long as pgvector advises, since a group has few of them. Half as long took longer: each list
#: begins on a page of its own.
_ROWS_A_LIST = 100
_SEED = 20

_CREATE = (
    "CREATE INDEX CONCURRENTLY {plan.index_name}_{part} ON search_code "
    "USING ivfflat (({code}) {operators}) WITH (lists = {lists}) WHERE build_id = {plan.build_id} AND part = {part}"
)
_CANDIDATES = (
    "SELECT asset_id, vector FROM search_code WHERE build_id = {plan.build_id} AND part = {part}{passes} "
    "ORDER BY ({code}) {operator} q.code LIMIT {most}"
)


@dataclass(frozen=True)
class Projection:
    """What makes codes: vectors less `mean`, (d,), times `matrix`, (d, c). Without a matrix, c = d.

    `groups`, (g, d), are the centres that vectors are parted by. All are float32.
    """

    mean: FloatArray
    matrix: FloatArray | None
    groups: FloatArray

    def project(self, vectors: FloatArray) -> FloatArray:
        """(n, d) to (n, c), or (d,) to (c,); float32."""
        centred: FloatArray = vectors - self.mean
        return centred if self.matrix is None else centred @ self.matrix

    def part_of(self, vectors: FloatArray) -> NDArray[np.int64]:
        """The group that each of (n, d) vectors is in, (n,)."""
        return np.asarray((vectors @ self.groups.T).argmax(axis=1))

    @cached_property
    def projected_groups(self) -> FloatArray:
        """(g, c), float32."""
        return self.groups if self.matrix is None else self.groups @ self.matrix

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        arrays = {"mean": self.mean, "groups": self.groups}
        if self.matrix is not None:
            arrays["matrix"] = self.matrix
        np.savez(buffer, **arrays)  # type: ignore[arg-type]  # its stubs take the arrays for its own option
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Projection":
        with np.load(io.BytesIO(data)) as arrays:
            return cls(arrays["mean"], arrays.get("matrix"), arrays["groups"])


def near_groups(closeness: FloatArray, probes: int) -> list[int]:
    """Those in which to look for what is near, nearest first, by how close to it the centre of each is, (g,)."""
    order = (-closeness).argsort()
    near: list[int] = order[closeness[order] >= closeness[order[0]] - _MARGIN_A_PROBE * probes].tolist()
    return near


def _grouped(sample: FloatArray, count: int) -> FloatArray:
    """Centres of so many groups of (n, d) unit vectors, by spherical k-means, (count, d)."""
    if count == 1:
        return np.asarray(sample.mean(axis=0, keepdims=True), np.float32)
    import faiss

    learned = faiss.Kmeans(sample.shape[1], count, niter=15, spherical=True, seed=_SEED, max_points_per_centroid=1000)
    learned.train(sample)
    return np.asarray(learned.centroids, np.float32)


class Coarse:
    """A kind whose index is over codes in a table of their own."""

    name: str
    asset = "search_code.asset_id"
    breadth = "probes"
    #: Column, operator class and operator of codes.
    column: str
    type: str
    operators: str
    operator: str

    def size(self, dimensions: int) -> int:
        """Of a code: numbers or bits."""
        raise NotImplementedError

    def learn(self, sample: FloatArray, size: int) -> tuple[FloatArray, FloatArray | None]:
        """From (n, d) vectors the mean, (d,), and the matrix, (d, c), of a projection."""
        raise NotImplementedError

    def encode(self, projection: Projection, vectors: FloatArray) -> NDArray[Any]:
        """(n, d) vectors to n codes, as rows of float16 or of packed bits."""
        raise NotImplementedError

    def ask(self, projection: Projection, vector: FloatArray, probes: int) -> tuple[NDArray[Any], list[int]]:
        """The code of a (d,) vector, and the groups in which to look for what is near it."""
        return self.encode(projection, vector[None, :])[0], near_groups(projection.groups @ vector, probes)

    def bytes_a_dimension(self) -> float:
        raise NotImplementedError

    def fit(self, sample: FloatArray, parameters: Parameters) -> Projection:
        """Learn from (n, d) vectors how to make codes and groups."""
        mean, matrix = self.learn(sample, parameters["size"])
        return Projection(mean, matrix, _grouped(sample, parameters["groups"]))

    def parameters(self, rows: int, dimensions: int) -> Parameters:
        groups = max(1, min(_GROUPS_MOST, rows // _ROWS_A_GROUP))
        return {"groups": groups, "size": self.size(dimensions)}

    def lists_of(self, rows: int) -> int:
        """How many lists a group of so many rows has."""
        return max(1, rows // _ROWS_A_LIST)

    def memory_mb(self, plan: Plan) -> int:
        return kmeans_memory_mb(max(plan.parameters["lists"]), plan.parameters["size"], self.bytes_a_dimension())

    def create_indexes(self, plan: Plan) -> list[str]:
        return [
            _CREATE.format(plan=plan, part=part, code=self._code(plan), operators=self.operators, lists=lists)
            for part, lists in enumerate(plan.parameters["lists"])
        ]

    def breadths(self, plan: Plan) -> list[int]:
        """Up to all lists of all groups."""
        return ladder(max(*plan.parameters["lists"], math.ceil(2 / _MARGIN_A_PROBE)))

    def settings(self, effort: Effort, *, iterate: bool) -> dict[str, str]:
        return ivfflat_settings(effort.breadth, iterate=iterate)

    def candidates(self, plan: Plan, most: int, passes: str, part: int) -> str:
        return _CANDIDATES.format(
            plan=plan,
            part=part,
            code=self._code(plan),
            operator=self.operator,
            most=most,
            passes=passes,
        )

    def code_type(self, plan: Plan) -> str:
        return f"{self.type}({plan.parameters['size']})"

    def _code(self, plan: Plan) -> str:
        return f"{self.column}::{self.code_type(plan)}"


class Pca(Coarse):
    """The leading principal components in half precision, and the length of what they leave out.

    With that, codes of unit vectors are unit vectors, and their inner product is at least the true one.
    """

    name = "pca"
    column, type, operators, operator = "reduced", "halfvec", "halfvec_ip_ops", "<#>"

    def size(self, dimensions: int) -> int:
        return max(2, min(128, dimensions // 4))

    def learn(self, sample: FloatArray, size: int) -> tuple[FloatArray, FloatArray | None]:
        import faiss

        learned = faiss.PCAMatrix(sample.shape[1], size - 1)
        learned.train(sample)
        matrix = faiss.vector_to_array(learned.A).reshape(size - 1, -1).T
        # not centred: an inner product of projections is then the part of the full one that lies in their span
        return np.zeros(sample.shape[1], np.float32), np.ascontiguousarray(matrix)

    def encode(self, projection: Projection, vectors: FloatArray) -> NDArray[Any]:
        kept = projection.project(vectors)
        left_out = np.sqrt(np.maximum(0, 1 - (kept**2).sum(axis=1, keepdims=True)))
        return np.concatenate([kept, left_out], axis=1).astype(np.float16)

    def ask(self, projection: Projection, vector: FloatArray, probes: int) -> tuple[NDArray[Any], list[int]]:
        """By the components alone, in which groups differ most: centres cut down to them are read in less time."""
        kept = projection.project(vector)
        left_out = math.sqrt(max(0.0, 1 - float(kept @ kept)))
        return np.append(kept, left_out).astype(np.float16), near_groups(projection.projected_groups @ kept, probes)

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

    def size(self, dimensions: int) -> int:
        return dimensions

    def learn(self, sample: FloatArray, size: int) -> tuple[FloatArray, FloatArray | None]:
        return sample.mean(axis=0), None


class Lsh(_Bits):
    """On which side of random hyperplanes a vector lies (Charikar, 2002)."""

    name = "lsh"

    def size(self, dimensions: int) -> int:
        return 1024

    def learn(self, sample: FloatArray, size: int) -> tuple[FloatArray, FloatArray | None]:
        planes = np.random.default_rng(_SEED).standard_normal((sample.shape[1], size), dtype=np.float32)
        return sample.mean(axis=0), planes


class Itq(_Bits):
    """Signs of principal components, turned so that signs lose least (Gong and Lazebnik, 2011)."""

    name = "itq"

    def size(self, dimensions: int) -> int:
        return min(512, dimensions)

    def learn(self, sample: FloatArray, size: int) -> tuple[FloatArray, FloatArray | None]:
        import faiss

        learned = faiss.ITQTransform(sample.shape[1], size, True)  # noqa: FBT003 (with PCA; it takes no keywords)
        learned.train(sample)
        matrix = faiss.vector_to_array(learned.pca_then_itq.A).reshape(size, -1).T
        return faiss.vector_to_array(learned.mean), np.ascontiguousarray(matrix)
