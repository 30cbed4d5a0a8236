"""Trains the demo's three models and saves each with the service as a bento.

It runs as a process of its own, ``python -m coalmine.demo.iris.train SOURCE``: BentoML takes its
home from the environment when it is imported.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

__all__ = ["main"]

NAME = "iris_classifier"
MODEL = "iris_model"
_PACKAGES = ("scikit-learn", "joblib", "numpy")
_FAILING_SHARE = 0.3


def main(source: Path) -> None:
    """Make ``iris_classifier`` v1, v2 and v3 in the store of BENTOML_HOME.

    Args:
        source: A folder that holds the service's source and nothing else.
    """
    sys.path.insert(0, str(source))  # a model is stored by its class's module name
    for number, (model, accuracy) in _models().items():
        _save_model(number, model, accuracy)
        _save_bento(number, source)


def _models() -> dict[str, tuple[Any, float]]:
    from iris_models import FragileModel  # type: ignore[import-not-found]  # noqa: PLC0415
    from sklearn.datasets import load_iris  # noqa: PLC0415 - slow, and only here
    from sklearn.model_selection import train_test_split  # noqa: PLC0415
    from sklearn.tree import DecisionTreeClassifier  # noqa: PLC0415

    data = load_iris()
    species = data.target_names[data.target]
    x, x_test, y, y_test = train_test_split(
        data.data, species, test_size=0.4, random_state=0, stratify=species
    )
    stump = DecisionTreeClassifier(max_depth=1, random_state=0).fit(x, y)
    tree = DecisionTreeClassifier(max_depth=4, random_state=0).fit(x, y)
    good = float(tree.score(x_test, y_test))
    return {
        "v1": (stump, float(stump.score(x_test, y_test))),
        "v2": (tree, good),
        "v3": (FragileModel(tree, share=_FAILING_SHARE, seed=1), good),  # on paper it looks as good
    }


def _save_model(number: str, model: Any, accuracy: float) -> None:  # noqa: ANN401 - any estimator
    import bentoml  # noqa: PLC0415
    import joblib  # noqa: PLC0415

    with bentoml.models.create(f"{MODEL}:{number}", metadata={"accuracy": accuracy}) as stored:
        joblib.dump(model, stored.path_of("model.joblib"))


def _save_bento(number: str, source: Path) -> None:
    import bentoml  # noqa: PLC0415

    # BentoML writes the version it found for "latest" into the module's own tag, for good.
    sys.modules.pop("service", None)
    bentoml.build(
        "service:IrisClassifier",
        name=NAME,
        version=number,
        build_ctx=str(source),
        include=["*.py"],
        python={
            "packages": [f"{package}=={version(package)}" for package in _PACKAGES],
            "lock_packages": False,  # locking asks the package index, and takes seconds
        },
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
