"""Which kinds there are."""

from search.kinds.base import Kind
from search.kinds.coarse import Itq, Lsh, Pca, SignBits
from search.kinds.direct import Hnsw, Ivfflat

#: No index: every vector is compared.
EXACT = "exact"
DEFAULT = "ivfflat"

_KINDS: dict[str, Kind] = {kind.name: kind for kind in (Ivfflat(), Hnsw(), Pca(), SignBits(), Lsh(), Itq())}

NAMES = [EXACT, *_KINDS]
CHOICES = [(name, name) for name in NAMES]


def get(name: str) -> Kind:
    """The kind of that name. Raises KeyError, also for "exact", of which nothing is built."""
    return _KINDS[name]
