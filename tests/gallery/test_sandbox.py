import os
import subprocess
import sys

from tests.conftest import drawn, encoded

_DECODE_IN_A_WORKER = """
import multiprocessing
import sys
from pathlib import Path
import django
django.setup()
from gallery import sandbox
worker = multiprocessing.get_context("fork").Process(target=sandbox.read_file_size, args=(Path(sys.argv[1]),))
worker.start()
worker.join(20)
print(worker.exitcode)
worker.kill()
"""


def test_worker_that_decoded_ends_by_itself(tmp_path):
    """As those of the queue do, which are told to stop and not killed."""
    (tmp_path / "picture").write_bytes(encoded(drawn(1)))
    told = subprocess.run(
        [sys.executable, "-c", _DECODE_IN_A_WORKER, str(tmp_path / "picture")],
        env=os.environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.strip() == "0"
