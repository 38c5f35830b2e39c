"""The processes of a running product, by what they do: those that a fault can take away, and no others."""

from collections.abc import Callable

import psutil

from tests.product import Product


def _services(product: Product) -> list[psutil.Process]:
    assert product.process is not None
    return psutil.Process(product.process.pid).children()


def _web_server(product: Product) -> list[psutil.Process]:
    return [process for process in _services(product) if "gunicorn" in process.cmdline()]


def _web_processes(product: Product) -> list[psutil.Process]:
    return [
        child for server in _web_server(product) for child in server.children() if child.cmdline() == server.cmdline()
    ]


def _decoders(product: Product) -> list[psutil.Process]:
    """And what they are forked from."""
    below = [child for web in _web_processes(product) for child in web.children(recursive=True)]
    return [child for child in below if any("forkserver" in word for word in child.cmdline())]


def _workers(product: Product, *, bulk: bool) -> list[psutil.Process]:
    """All processes of a cluster: its head, its guard, and who fetches, does and notes down its tasks."""
    heads = [
        process
        for process in _services(product)
        if "qcluster" in process.cmdline() and (process.environ().get("Q_CLUSTER_NAME") == "bulk") == bulk
    ]
    return [process for head in heads for process in (head, *head.children(recursive=True))]


def postmaster(product: Product) -> list[psutil.Process]:
    folder = product.data_dir / "postgres"
    process = psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))
    return [process] if process.name() == "postgres" and str(folder) in process.cmdline() else []


def _backends(product: Product) -> list[psutil.Process]:
    return [child for server in postmaster(product) for child in server.children()]


KINDS: dict[str, Callable[[Product], list[psutil.Process]]] = {
    "web server": _web_server,
    "web process": _web_processes,
    "decoder": _decoders,
    "interactive worker": lambda product: _workers(product, bulk=False),
    "bulk worker": lambda product: _workers(product, bulk=True),
    "postmaster": postmaster,
    "backend": _backends,
}


def alive(product: Product, kind: str) -> list[psutil.Process]:
    """None while they are being started again."""
    try:
        return [process for process in KINDS[kind](product) if process.status() != psutil.STATUS_ZOMBIE]
    except (psutil.Error, OSError, ValueError, IndexError):  # it ended, or its pid is being written, while we looked
        return []
