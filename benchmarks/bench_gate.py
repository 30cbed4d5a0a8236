"""The quick form of ``gate_quality``: one rate, one base error rate. ``--full`` for all."""

from __future__ import annotations

import sys

from gate_quality import BASES, FAULTS, RATES, run

if __name__ == "__main__":
    if "--full" in sys.argv[1:]:
        run(RATES, BASES, FAULTS, 400)
    else:
        run((10.0,), (0.001,), FAULTS, 200)
