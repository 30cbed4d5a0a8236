"""Finds the API server: kubeconfig files with all they may say, and a pod's own account.

That is lightkube's part: contexts, tokens, certificates and plug-ins, and the token of a pod's own
account, which is read again when it was renewed.
"""

from __future__ import annotations

import yaml
from lightkube.config.client_adapter import Client, ConnectionParams
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError

from coalmine._base.errors import InputError
from coalmine.engines.kube.client import KubeClient
from coalmine.engines.settings import EngineSettings

__all__ = ["connect"]

# What lightkube lets through where a file is no kubeconfig, beside its own error.
NO_CONFIG = (ConfigError, OSError, KeyError, ValueError, TypeError, AttributeError, yaml.YAMLError)


def connect(settings: EngineSettings) -> KubeClient:
    """Make a client; nothing is sent yet.

    Raises:
        InputError: There is no kubeconfig, or it has no such context.
    """
    try:
        config = _config(settings)
        http = Client(config, ConnectionParams())
    except NO_CONFIG as error:
        raise InputError(
            f"no API server of Kubernetes is known: {_said(error)}",
            field="--kubeconfig",
            fix="name a kubeconfig file with --kubeconfig, or run in a pod with an account",
        ) from None
    return KubeClient(http, settings.namespace or config.namespace, config.cluster.server)


def _said(error: Exception) -> str:
    # Not the whole of what YAML's reader says: that quotes the file, and there are tokens in it.
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"the kubeconfig is no YAML in line {error.problem_mark.line + 1}: {error.problem}"
    if isinstance(error, TypeError | AttributeError):
        return "the file is no kubeconfig"
    return str(error)


def _config(settings: EngineSettings) -> SingleConfig:
    if settings.kubeconfig:
        known = KubeConfig.from_file(settings.kubeconfig)
    else:
        known = KubeConfig.from_env()
    found = known.get(settings.context or None)
    if found is None:
        raise ConfigError("it has no current context")
    return found
