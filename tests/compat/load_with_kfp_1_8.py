"""Load every component with kfp 1.8, in the environment that `make compat` makes for it."""

from pathlib import Path

import kfp
from kfp.components import load_component_from_file

COMPONENTS = Path(__file__).parents[2] / "components"


def main() -> None:
    """Load each file and say what it takes; an exception is the failure."""
    for path in sorted(COMPONENTS.glob("*/component.yaml")):
        spec = load_component_from_file(str(path)).component_spec
        inputs = [each.name for each in spec.inputs or []]
        print(f"kfp {kfp.__version__} loads {spec.name}({', '.join(inputs)})")


if __name__ == "__main__":
    main()
