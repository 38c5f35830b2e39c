"""An encoder whose process comes to harm over certain pictures. Leases and patience are short."""

import os
from datetime import timedelta
from pathlib import Path

import numpy as np
from django.apps import AppConfig

from tests.faults.poison import HARMS

#: The grey of a picture that is poison, by what it does, and whether it does so while it is decoded or encoded.
GREYS = {
    ("kill", "encode"): 40,
    ("abort", "prepare"): 80,
    ("hang", "prepare"): 120,
    ("freeze", "encode"): 160,
}


class PoisonousConfig(AppConfig):
    name = "tests.faults"
    label = "poisonous"

    def ready(self) -> None:
        from search import pipeline
        from search.encoders.descriptor import Descriptor

        pipeline.LEASE, pipeline._RENEW_S, pipeline._HANGS_S = timedelta(seconds=5), 0.5, 20
        for step in ("prepare", "encode"):
            setattr(Descriptor, step, _harmed(step, getattr(Descriptor, step)))


def _harmed(step, real):
    def look(self, given):
        pictures = np.asarray(given, float).reshape(-1, *np.shape(given)[-3:])
        for (harm, where), grey in GREYS.items():
            if where == step and (np.abs(pictures - grey) < 3).all(axis=(1, 2, 3)).any():
                with (Path(os.environ["DATA_DIR"]) / f"{harm}.log").open("a") as log:
                    log.write(f"{os.getpid()}\n")
                HARMS[harm]()
        return real(self, given)

    return look
