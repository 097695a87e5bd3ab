"""What the processes of Ray Serve do without."""

import subprocess
import sys

PROGRAM = """
import sys
import devstack.lean_serve
import serve_apps.query.replica
print([name for name in ("pandas", "pyarrow", "actors.device_shard") if name in sys.modules])
import pandas
print(pandas.DataFrame([1]).shape)
"""


def test_a_replica_imports_no_pandas_and_whoever_wants_it_does() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == ["[]", "(1, 1)"]
