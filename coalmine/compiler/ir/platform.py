"""The second document of a compiled pipeline: what kfp-kubernetes says of each executor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from coalmine._base.errors import InputError
from coalmine.compiler.ir.models import Strict
from coalmine.compiler.ir.refuse import check, unsupported
from coalmine.compiler.podcheck import problem
from coalmine.compiler.podspec import EnvSource, Pod, Toleration, Volume

__all__ = ["ExecutorPlatform", "read_platform"]


class _Runtime(Strict):
    constant: str


class _Name(Strict):
    """A name that may be a parameter's value; only one that is known is read."""

    runtime_value: _Runtime | None = None
    component_input_parameter: str = ""
    task_output_parameter: Any = None


class _SecretKey(Strict):
    secret_key: str
    env_var: str


class _SecretEnv(Strict):
    secret_name: str = ""
    secret_name_parameter: _Name = Field(default_factory=_Name)
    key_to_env: list[_SecretKey]
    optional: bool = False


class _ConfigMapKey(Strict):
    config_map_key: str
    env_var: str


class _ConfigMapEnv(Strict):
    config_map_name: str = ""
    config_map_name_parameter: _Name = Field(default_factory=_Name)
    key_to_env: list[_ConfigMapKey]
    optional: bool = False


class _SecretVolume(Strict):
    secret_name: str = ""
    secret_name_parameter: _Name = Field(default_factory=_Name)
    mount_path: str
    optional: bool = False


class _ConfigMapVolume(Strict):
    config_map_name: str = ""
    config_map_name_parameter: _Name = Field(default_factory=_Name)
    mount_path: str
    optional: bool = False


class _PvcMount(Strict):
    constant: str = ""
    component_input_parameter: str = ""
    task_output_parameter: Any = None
    pvc_name_parameter: _Name = Field(default_factory=_Name)
    mount_path: str
    sub_path: str = ""


class _EmptyDir(Strict):
    volume_name: str
    mount_path: str
    medium: str = ""
    size_limit: str = ""


class _FieldEnv(Strict):
    name: str
    field_path: str


class _NodeSelector(Strict):
    labels: Mapping[str, str] = Field(default_factory=dict)


class _Toleration(Strict):
    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    toleration_seconds: int | str | None = None


class _PodMetadata(Strict):
    labels: Mapping[str, str] = Field(default_factory=dict)
    annotations: Mapping[str, str] = Field(default_factory=dict)


class _PullSecret(Strict):
    secret_name: str = ""
    secret_name_parameter: _Name = Field(default_factory=_Name)


class _Security(Strict):
    run_as_user: int | str | None = None
    run_as_group: int | str | None = None
    run_as_non_root: bool | None = None


class ExecutorPlatform(Strict):
    """What the document says of one executor; the rest of kfp-kubernetes is refused."""

    active_deadline_seconds: int | str = 0
    secret_as_env: list[_SecretEnv] = Field(default_factory=list)
    config_map_as_env: list[_ConfigMapEnv] = Field(default_factory=list)
    field_path_as_env: list[_FieldEnv] = Field(default_factory=list)
    secret_as_volume: list[_SecretVolume] = Field(default_factory=list)
    config_map_as_volume: list[_ConfigMapVolume] = Field(default_factory=list)
    pvc_mount: list[_PvcMount] = Field(default_factory=list)
    empty_dir_mounts: list[_EmptyDir] = Field(default_factory=list)
    node_selector: _NodeSelector = Field(default_factory=_NodeSelector)
    tolerations: list[_Toleration] = Field(default_factory=list)
    pod_metadata: _PodMetadata = Field(default_factory=_PodMetadata)
    image_pull_policy: str = ""
    image_pull_secret: list[_PullSecret] = Field(default_factory=list)
    security_context: _Security = Field(default_factory=_Security)

    def pod(self, task: str) -> Pod:
        """Say it the way the graph has it.

        Raises:
            InputError: The name of an object is known only in a run, or Kubernetes would refuse
                what is said.
        """
        pod = Pod(
            env=self._env(task),
            volumes=self._volumes(task),
            node_selector=tuple(self.node_selector.labels.items()),
            tolerations=tuple(_toleration(item) for item in self.tolerations),
            labels=tuple(self.pod_metadata.labels.items()),
            annotations=tuple(self.pod_metadata.annotations.items()),
            pull_policy=self.image_pull_policy,
            pull_secrets=tuple(
                _known(one.secret_name, "an image pull secret", task)
                for one in self.image_pull_secret
            ),
            security=_security(self.security_context),
        )
        if found := problem(pod):
            raise InputError(
                f"task {task!r}: {found}; Kubernetes would refuse the pod",
                fix="mend what kfp-kubernetes is told in the pipeline",
            )
        return pod

    def _env(self, task: str) -> tuple[EnvSource, ...]:
        found = [
            EnvSource(
                key.env_var,
                "secretKeyRef",
                _known(of.secret_name, "a secret", task),
                key.secret_key,
                of.optional,
            )
            for of in self.secret_as_env
            for key in of.key_to_env
        ]
        found += [
            EnvSource(
                key.env_var,
                "configMapKeyRef",
                _known(of.config_map_name, "a config map", task),
                key.config_map_key,
                of.optional,
            )
            for of in self.config_map_as_env
            for key in of.key_to_env
        ]
        found += [EnvSource(of.name, "fieldRef", of.field_path) for of in self.field_path_as_env]
        return tuple(found)

    def _volumes(self, task: str) -> tuple[Volume, ...]:
        found = [
            Volume(
                "secret",
                _known(of.secret_name, "a secret", task),
                of.mount_path,
                optional=of.optional,
            )
            for of in self.secret_as_volume
        ]
        found += [
            Volume(
                "configMap",
                _known(of.config_map_name, "a config map", task),
                of.mount_path,
                optional=of.optional,
            )
            for of in self.config_map_as_volume
        ]
        found += [
            Volume(
                "persistentVolumeClaim",
                _known(of.constant, "a volume claim", task),
                of.mount_path,
                of.sub_path,
            )
            for of in self.pvc_mount
        ]
        found += [
            Volume("emptyDir", of.volume_name, of.mount_path, medium=of.medium, size=of.size_limit)
            for of in self.empty_dir_mounts
        ]
        return tuple(found)


def read_platform(data: object, *, label: str, task: str) -> ExecutorPlatform:
    """Read what is said of one executor.

    Raises:
        InputError: It holds what is not supported, or is malformed.
    """
    place = f"platforms.kubernetes.deploymentSpec.executors.{label}"
    return check(ExecutorPlatform, data, place=place, task=task)


def _known(name: str, what: str, task: str) -> str:
    if name:
        return name
    raise unsupported(
        task, f"{what} whose name is known only in a run", fix="write the name in the pipeline"
    )


def _toleration(of: _Toleration) -> Toleration:
    seconds = None if of.toleration_seconds is None else int(of.toleration_seconds)
    return Toleration(of.key, of.operator, of.value, of.effect, seconds)


def _security(of: _Security) -> tuple[tuple[str, int | bool], ...]:
    found: dict[str, int | bool] = {}
    if of.run_as_user is not None:
        found["runAsUser"] = int(of.run_as_user)
    if of.run_as_group is not None:
        found["runAsGroup"] = int(of.run_as_group)
    if of.run_as_non_root is not None:
        found["runAsNonRoot"] = of.run_as_non_root
    return tuple(found.items())
