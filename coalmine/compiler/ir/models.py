"""The part of KFP IR (schema 2.1.0) that Coalmine can run, and not one field more.

Whatever a file says beyond these models is refused by name: nothing a pipeline asks for is ever
dropped in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

__all__ = [
    "ArtifactInput",
    "ArtifactSpec",
    "Component",
    "Container",
    "Dag",
    "Executor",
    "GivenResources",
    "Importer",
    "ParameterIterator",
    "ParameterSpec",
    "Pipeline",
    "Platform",
    "Strict",
    "TaskInput",
    "TaskSpec",
]


class Strict(BaseModel):
    """Takes what it knows and nothing else, by its name in the file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)


class ParameterSpec(Strict):
    """An input or output parameter of a component."""

    parameter_type: str
    default_value: Any = None
    is_optional: bool = False
    description: str = ""

    @property
    def has_default(self) -> bool:
        """Tell whether a default is written, be it an empty one."""
        return "default_value" in self.model_fields_set


class _Schema(Strict):
    schema_title: str = "system.Artifact"
    schema_version: str = "0.0.1"


class ArtifactSpec(Strict):
    """An input or output artifact of a component."""

    artifact_type: _Schema
    is_optional: bool = False
    description: str = ""


class _Parameters(Strict):
    parameters: Mapping[str, ParameterSpec] = Field(default_factory=dict)
    artifacts: Mapping[str, ArtifactSpec] = Field(default_factory=dict)


class _OutputSelector(Strict):
    output_parameter_key: str
    producer_subtask: str


class _Choice(Strict):
    parameter_selectors: list[_OutputSelector]


class _DagOutput(Strict):
    value_from_parameter: _OutputSelector | None = None
    value_from_oneof: _Choice | None = None

    @property
    def selectors(self) -> list[_OutputSelector]:
        """Where the value comes from: one place, or the one of several that was reached."""
        one, choice = self.value_from_parameter, self.value_from_oneof
        return [*([one] if one else []), *(choice.parameter_selectors if choice else [])]


class _ArtifactSelector(Strict):
    output_artifact_key: str
    producer_subtask: str


class _DagArtifact(Strict):
    artifact_selectors: list[_ArtifactSelector] = Field(min_length=1)


class _DagOutputs(Strict):
    artifacts: Mapping[str, _DagArtifact] = Field(default_factory=dict)
    parameters: Mapping[str, _DagOutput] = Field(default_factory=dict)


class _TaskOutput(Strict):
    output_parameter_key: str
    producer_task: str


class _RuntimeValue(Strict):
    constant: Any


class _FinalStatus(Strict):
    producer_task: str


class TaskInput(Strict):
    """Where the value of a task's input comes from: one of four."""

    task_output_parameter: _TaskOutput | None = None
    runtime_value: _RuntimeValue | None = None
    component_input_parameter: str | None = None
    task_final_status: _FinalStatus | None = None
    parameter_expression_selector: str = ""


class _TaskArtifact(Strict):
    output_artifact_key: str
    producer_task: str


class ArtifactInput(Strict):
    """Where a task's input artifact comes from: one of two."""

    task_output_artifact: _TaskArtifact | None = None
    component_input_artifact: str | None = None


class _TaskInputs(Strict):
    artifacts: Mapping[str, ArtifactInput] = Field(default_factory=dict)
    parameters: Mapping[str, TaskInput] = Field(default_factory=dict)


class _Name(Strict):
    name: str


class _Caching(Strict):
    """Read and left alone: Tekton and Argo have no cache, so nothing is ever taken from one."""

    enable_cache: bool = False
    cache_key: str = ""


class _Trigger(Strict):
    condition: str = ""
    strategy: str = ""


class _Retry(Strict):
    max_retry_count: int = Field(default=0, ge=0)
    backoff_duration: str = "0s"
    backoff_factor: float = Field(default=2.0, gt=0)
    backoff_max_duration: str = "3600s"


class _Items(Strict):
    raw: str | None = None
    input_parameter: str | None = None


class ParameterIterator(Strict):
    """What a loop goes over, and the input of its group that gets an item."""

    item_input: str
    items: _Items


class _IteratorPolicy(Strict):
    parallelism_limit: int = Field(default=0, ge=0)


class TaskSpec(Strict):
    """One use of a component."""

    task_info: _Name | None = None
    component_ref: _Name
    inputs: _TaskInputs = Field(default_factory=_TaskInputs)
    dependent_tasks: list[str] = Field(default_factory=list)
    caching_options: _Caching = Field(default_factory=_Caching)
    trigger_policy: _Trigger = Field(default_factory=_Trigger)
    retry_policy: _Retry | None = None
    parameter_iterator: ParameterIterator | None = None
    iterator_policy: _IteratorPolicy = Field(default_factory=_IteratorPolicy)


class Dag(Strict):
    """Tasks side by side."""

    tasks: Mapping[str, TaskSpec]
    outputs: _DagOutputs = Field(default_factory=_DagOutputs)


class Component(Strict):
    """A container, or a group of tasks."""

    input_definitions: _Parameters = Field(default_factory=_Parameters)
    output_definitions: _Parameters = Field(default_factory=_Parameters)
    executor_label: str | None = None
    dag: Dag | None = None


class _EnvVar(Strict):
    name: str
    value: str = ""


class _Accelerator(Strict):
    type: str = ""
    count: int | str = 0
    resource_type: str = ""
    resource_count: str = ""


class GivenResources(Strict):
    """What a container asks for, in both of the SDK's ways."""

    accelerator: _Accelerator | None = None
    cpu_limit: float | None = None
    cpu_request: float | None = None
    memory_limit: float | None = None
    memory_request: float | None = None
    resource_cpu_limit: str = ""
    resource_cpu_request: str = ""
    resource_memory_limit: str = ""
    resource_memory_request: str = ""


class Container(Strict):
    """What to run."""

    image: str
    command: list[str] = Field(default_factory=list)
    args: list[str] = Field(default_factory=list)
    env: list[_EnvVar] = Field(default_factory=list)
    resources: GivenResources = Field(default_factory=GivenResources)


class _ImportUri(Strict):
    constant: str | None = None
    runtime_parameter: str | None = None


class Importer(Strict):
    """What is taken from outside."""

    artifact_uri: _ImportUri
    type_schema: _Schema
    metadata: Mapping[str, Any] = Field(default_factory=dict)
    reimport: bool = False


class Executor(Strict):
    """How a component is run: one of two."""

    container: Container | None = None
    importer: Importer | None = None


class _Executors(Strict):
    executors: Mapping[str, Any] = Field(default_factory=dict)


class _PipelineInfo(Strict):
    name: str
    description: str = ""
    display_name: str = ""


class Pipeline(Strict):
    """The first document. Components and executors are read when a task uses them."""

    schema_version: str
    sdk_version: str = ""
    pipeline_info: _PipelineInfo
    root: Component
    components: Mapping[str, Any] = Field(default_factory=dict)
    deployment_spec: _Executors = Field(default_factory=_Executors)


class _Kubernetes(Strict):
    deployment_spec: _Executors = Field(default_factory=_Executors)


class _Platforms(Strict):
    kubernetes: _Kubernetes = Field(default_factory=_Kubernetes)


class Platform(Strict):
    """The second document, which kfp-kubernetes writes."""

    platforms: _Platforms
