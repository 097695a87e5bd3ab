"""Copied into PyFlink's environment as its sitecustomize, which runs before anything else.

In thread mode importing onnxruntime on one of Flink's threads hangs; on the embedded
interpreter's first thread it does not.
"""

import os
from pathlib import Path

if os.environ.get("FLINK_MODE") == "thread" and Path("/proc/self/exe").readlink().name == "java":
    import numpy  # noqa: F401, ICN001
    import onnxruntime  # noqa: F401
