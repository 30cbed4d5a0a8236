"""Models as people release them: forests of scikit-learn, saved by BentoML, of about 50 MB.

Each seed is another training on the same data. They are kept, so that only the first run trains.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["forest"]

_NAME = "forest"
_TREES = 62
_ROWS, _COLUMNS = 20_000, 20


def forest(home: Path, seed: int) -> Path:
    """Find a forest in a BENTOML_HOME, or train it and save it there.

    Returns:
        Its file, as ``bentoml.sklearn`` has written it.
    """
    saved = home / "models" / _NAME / f"seed-{seed}" / "saved_model.pkl"
    if not saved.exists():
        home.mkdir(parents=True, exist_ok=True)
        environ = {**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"}
        subprocess.run([sys.executable, __file__, str(seed)], env=environ, check=True)
    return saved


def _train(seed: int) -> None:
    import bentoml  # noqa: PLC0415 - takes its home from the environment
    from sklearn.datasets import make_classification  # noqa: PLC0415
    from sklearn.ensemble import ExtraTreesClassifier  # noqa: PLC0415

    rows, answers = make_classification(_ROWS, _COLUMNS, n_informative=12, random_state=0)
    trained = ExtraTreesClassifier(_TREES, random_state=seed, n_jobs=-1).fit(rows, answers)
    bentoml.sklearn.save_model(f"{_NAME}:seed-{seed}", trained)


if __name__ == "__main__":
    _train(int(sys.argv[1]))
