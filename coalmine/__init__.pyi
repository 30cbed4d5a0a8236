# What is found only when it is asked for, told to type checkers.

from coalmine.client.handle import Release, release

__all__ = ["Release", "__version__", "release"]

__version__: str
