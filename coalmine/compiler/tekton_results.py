"""What an output is called as a Tekton result."""

from __future__ import annotations

__all__ = ["output_name", "result_name"]

_CHAINS = {"image_url": "IMAGE_URL", "image_digest": "IMAGE_DIGEST"}
_OUTPUTS = {result: output for output, result in _CHAINS.items()}


def result_name(output: str) -> str:
    """Name a result; an image's URL and digest as Tekton Chains looks for them, to sign the image.

    Source: Tekton Chains, "Type hinting": results whose names end in IMAGE_URL and IMAGE_DIGEST.
    KFP knows such names in small letters only.
    """
    return _CHAINS.get(output, output)


def output_name(result: str) -> str:
    """Name the output that a result is of."""
    return _OUTPUTS.get(result, result)
