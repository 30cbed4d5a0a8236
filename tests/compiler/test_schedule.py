from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from coalmine._base.errors import CoalmineError, InputError
from coalmine.cli import cli
from coalmine.cli.send import short_id
from coalmine.compiler.around.schedule import CATCH_UP, CONCURRENCY, Schedule

ROOT = Path(__file__).parent.parent.parent
RELEASE = ROOT / "compiled" / "kfp" / "release.yaml"
GIVEN = "--param name=iris --param service=iris"
RUNS = "/apis/v2beta1/recurringruns"


@dataclass
class Server:
    """Keeps what it is asked, and answers as it is told."""

    url: str = ""
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    answers: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)


@pytest.fixture
def server() -> Iterator[Server]:
    """Serve on a free port of this machine."""
    known = Server()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            path = self.path.partition("?")[0]
            headers = {name.lower(): value for name, value in self.headers.items()}
            known.asked.append((self.command, path, headers, json.loads(body) if body else None))
            status, said = known.answers.get((self.command, path), (404, {"error": "no"}))
            data = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = answer  # noqa: N815 - the names that http.server calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known.url = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield known
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def kubeflow(server: Server) -> Server:
    experiment = {"experiment_id": "e1", "display_name": "coalmine"}
    server.answers |= {
        ("GET", "/apis/v2beta1/healthz"): (200, {"multi_user": False}),
        ("GET", "/apis/v2beta1/experiments"): (200, {"experiments": [experiment], "total_size": 1}),
        ("POST", "/apis/v2beta1/experiments"): (200, experiment),
        ("POST", RUNS): (200, {"recurring_run_id": "rr-1", "display_name": "release"}),
    }
    return server


def call(*words: str, env: Mapping[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, list(words), env=env, auto_envvar_prefix="COALMINE")


def schedule(cron: str, words: str) -> Result:
    return call("schedule", str(RELEASE), "--cron", cron, *words.split())


def test_a_schedule_as_a_user_asks_for_it(
    coalmine: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    command = f"schedule {RELEASE} --cron @daily --engine argo --concurrency allow {GIVEN}"
    done = coalmine(*command.split())
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["spec"]["concurrencyPolicy"] == "Allow"


def test_a_recurring_run_of_kubeflow(kubeflow: Server) -> None:
    done = schedule("0 3 * * 1-5", f"--engine kfp --host {kubeflow.url} --catch-up all {GIVEN}")
    assert (done.exit_code, done.stdout) == (0, "rr-1\n"), done.output
    (sent,) = [body for verb, path, _, body in kubeflow.asked if (verb, path) == ("POST", RUNS)]
    assert sent["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * 1-5"}}
    assert (sent["max_concurrency"], sent["no_catchup"], sent["mode"]) == (1, False, "ENABLE")
    assert sent["experiment_id"] == "e1"
    expected = {"name": "iris", "service": "iris", "release_id": "r[[RunUUID]]"}
    assert sent["runtime_config"]["parameters"] == expected
    assert sent["pipeline_spec"]["pipeline_spec"]["pipelineInfo"]["name"] == "release"


def test_kubeflow_that_refuses_or_is_not_there(kubeflow: Server) -> None:
    kubeflow.answers["POST", RUNS] = (400, {"error": "bad cron"})
    done = schedule("@daily", f"--engine kfp --host {kubeflow.url} {GIVEN}")
    assert isinstance(done.exception, CoalmineError)
    assert (done.exception.exit_code, done.stdout) == (1, "")
    assert "refused: 400" in str(done.exception)
    assert "bad cron" in str(done.exception)


def test_a_cron_workflow_of_argo(check_manifest: Callable[[str], int]) -> None:
    words = f"--engine argo --timezone Europe/Berlin --concurrency replace --name nightly {GIVEN}"
    done = schedule("30 2 * * *", words)
    assert done.exit_code == 0, done.output
    check_manifest(done.stdout)
    made = yaml.safe_load(done.stdout)
    assert made["metadata"]["name"] == "nightly"
    spec = made["spec"]
    assert spec["schedules"] == ["30 2 * * *"]
    assert (spec["timezone"], spec["concurrencyPolicy"]) == ("Europe/Berlin", "Replace")
    assert spec["startingDeadlineSeconds"] == 86400
    assert spec["workflowSpec"]["workflowTemplateRef"] == {"name": "release"}
    given = {
        item["name"]: item["value"] for item in spec["workflowSpec"]["arguments"]["parameters"]
    }
    assert given == {"name": "iris", "service": "iris", "release_id": "{{workflow.name}}"}


def test_a_cron_job_posts_what_the_listener_takes(server: Server, tmp_path: Path) -> None:
    server.answers["POST", "/"] = (202, {"eventListener": "release", "eventID": "x"})
    done = schedule("0 4 * * *", f"--engine tekton --catch-up none --url {server.url} {GIVEN}")
    assert done.exit_code == 0, done.output
    config, job = yaml.safe_load_all(done.stdout)
    assert job["spec"]["startingDeadlineSeconds"] == 60
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (variable,) = container["env"]
    assert pod["volumes"][0]["configMap"]["name"] == config["metadata"]["name"]
    event = tmp_path / "event.json"
    event.write_text(config["data"]["event.json"])
    command = " ".join([*container["command"], *container["args"]])
    words = command.removeprefix("coalmine ").replace("/event/event.json", str(event)).split()
    for job_name in ("release-29392920", "release-29392920", "release-29394360"):
        sent = call(*words, env={variable["name"]: job_name})
        assert (sent.exit_code, sent.stdout) == (0, "answered 202\n"), sent.output
    headers = [headers for _, _, headers, _ in server.asked]
    first, again, later = (item["ce-id"] for item in headers)
    assert first == again == short_id("release-29392920") != later
    assert headers[0]["ce-type"] == "dev.coalmine.release.requested.v1"
    assert server.asked[0][3] == {"name": "iris", "service": "iris"}


def test_a_sink_that_refuses(server: Server, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(
        '{"specversion": "1.0", "id": "1", "source": "/x", "type": "t", "data": {"name": "a"}}'
    )
    for status, code in ((400, 2), (503, 1)):
        server.answers["POST", "/"] = (status, {"errorMessage": "no"})
        done = call("send", str(event), "--sink", "--url", server.url)
        assert isinstance(done.exception, CoalmineError)
        assert done.exception.exit_code == code
        assert f"answered {status}" in str(done.exception)


@pytest.mark.parametrize(
    ("cron", "words", "said"),
    [
        ("* * * *", "--engine argo", "--cron: '* * * *' has 4 fields"),
        ("60 * * * *", "--engine argo", "has '60' as minute"),
        ("* 5-3 * * *", "--engine argo", "has '5-3' as hour"),
        ("* * 0 * *", "--engine argo", "has '0' as day"),
        ("*/0 * * * *", "--engine argo", "has '*/0' as minute"),
        ("@often", "--engine argo", "--cron"),
        ("@daily", "--engine tekton --concurrency forbid", "tekton cannot do 'forbid'"),
        ("@daily", "--engine kfp --concurrency replace", "argo can do it"),
        ("@daily", "--engine argo --catch-up all", "kfp can do it"),
        ("@daily", "--engine kfp --timezone Europe/Berlin", "--timezone"),
        ("@daily", "--engine kfp --param name=a --param service=a", "--host: is needed"),
        ("@daily", "--engine argo", "needs: name, service"),
        ("@daily", "--engine argo --name Not_Legal", "--name"),
        ("@daily", "--engine argo --param service=a --param name={{x}}", "would expand"),
    ],
)
def test_wrong_input_exits_2(cron: str, words: str, said: str) -> None:
    done = schedule(cron, words)
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)
    assert not done.stdout


@pytest.mark.parametrize("engine", CONCURRENCY)
def test_what_each_engine_does_unless_told(engine: str) -> None:
    checked = Schedule(engine=engine, name="x", cron="1,2 */2 1-5 JAN-MAR SUN").checked()
    assert checked.concurrency == CONCURRENCY[engine][0]
    assert checked.catch_up == CATCH_UP[engine][0] == "last"
    with pytest.raises(InputError, match="cannot do"):
        Schedule(engine=engine, name="x", cron="@daily", catch_up="some").checked()
