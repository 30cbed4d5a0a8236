"""A recurring run on Kubeflow Pipelines, made by its own client."""

from __future__ import annotations

import contextlib
import sys
import warnings
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine.compiler.around.schedule import Schedule

__all__ = ["create_recurring_run"]

MOST_AT_ONCE = 10
"""The API takes 1 to 10."""


def create_recurring_run(
    package: Path,
    schedule: Schedule,
    *,
    host: str,
    token: str,
    namespace: str,
    experiment: str,
    id_parameter: str,
) -> str:
    """Make a recurring run.

    Args:
        package: The pipeline as KFP IR.
        schedule: Checked. Its cron gets the field for seconds that KFP has in front.
        host: The API's base URL.
        token: Shown to it, if any.
        namespace: For installations with several users; empty for those without.
        experiment: Its runs belong to it; it is made if it does not exist.
        id_parameter: The parameter that gets each run's own id, unless a value is given. KFP
            fills in ``[[RunUUID]]`` when a run starts.

    Returns:
        The recurring run's id.

    Raises:
        InputError: The KFP SDK is not installed.
        CoalmineError: Kubeflow Pipelines does not answer, or refuses.
    """
    try:
        import kfp  # noqa: PLC0415 - heavy, and an extra
        from kfp_server_api.exceptions import ApiException  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415
    except ImportError:
        raise InputError(
            "the KFP SDK is not installed", field="--engine kfp", fix="pip install 'coalmine[kfp]'"
        ) from None
    params = dict(schedule.parameters)
    if id_parameter:
        params.setdefault(id_parameter, "r[[RunUUID]]")
    cron = schedule.cron if schedule.cron.startswith("@") else f"0 {schedule.cron}"
    try:
        # The client warns of old servers and prints links, neither of which is asked for here.
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore", FutureWarning)
            client = kfp.Client(
                host=host, existing_token=token or None, namespace=namespace or "kubeflow"
            )
            found = client.create_experiment(experiment, namespace=namespace or None)
            made = client.create_recurring_run(
                experiment_id=found.experiment_id,
                job_name=schedule.name,
                cron_expression=cron,
                max_concurrency=1 if schedule.concurrency == "forbid" else MOST_AT_ONCE,
                no_catchup=schedule.catch_up == "last",
                params=params,
                pipeline_package_path=str(package),
            )
    except ApiException as error:
        raise CoalmineError(
            f"Kubeflow Pipelines at {host} refused: {error.status} {error.reason}: {error.body}"
        ) from None
    except (HTTPError, OSError) as error:
        raise CoalmineError(
            f"Kubeflow Pipelines at {host} does not answer: {error}",
            fix="give the base URL of its API with --host",
        ) from None
    return str(made.recurring_run_id)
