"""What all rooms' tests share: where the real parts are, and how hypothesis runs."""

import os
import signal
from pathlib import Path

from hypothesis import settings

from coalmine.stack.prometheus_binary import find

ROOT = Path(__file__).parent.parent
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")

# A shell that starts us in the background has Ctrl-C ignored, and what we start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

if found := find(ROOT / ".coalmine" / "cache" / "prometheus"):
    os.environ["COALMINE_PROMETHEUS_BIN"] = str(found)
    os.environ["PATH"] = f"{found.parent}{os.pathsep}{os.environ['PATH']}"
os.environ.setdefault("COALMINE_SHARED", str(ROOT.parent / "shared"))
