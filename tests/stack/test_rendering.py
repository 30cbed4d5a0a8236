from __future__ import annotations

import configparser
import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine._base.errors import InputError
from coalmine.stack.parts import Ports, choose_ports, endpoints_of, refuse_other_ports
from coalmine.stack.programs import Program, ini_of, main_ini, spec_of
from coalmine.stack.prometheus import prometheus_config
from coalmine.stack.routes import clusters_of, copies_of, routes_of, shares_of
from coalmine.stack.routing import Copied, Routing, mirror_of

names = st.text("abc09_-", max_size=8).map("s{}1".format)
splits = st.one_of(
    st.builds(lambda a: {a: 100}, names),
    st.builds(lambda p, a, b: {a + "-1": p, b + "-2": 100 - p}, st.integers(1, 99), names, names),
)
tables = st.dictionaries(names, splits, max_size=4).map(
    lambda routes: Routing(
        clusters={name: 20000 for split in routes.values() for name in split}, routes=routes
    )
)


def dumped(table: Routing) -> dict[str, Any]:
    """What Envoy's configuration dump says once it has taken the routes."""
    (config,) = json.loads(routes_of(table))["resources"]
    return {"configs": [{"route_config": config}]}


@given(tables)
def test_routes_are_read_back_as_they_were_written(table: Routing) -> None:
    for service, split in table.routes.items():
        assert shares_of(dumped(table), service) == split
    assert shares_of(dumped(table), "not-a-service!") == {}


@given(tables)
def test_every_routed_revision_has_its_own_cluster(table: Routing) -> None:
    clusters = {cluster["name"] for cluster in json.loads(clusters_of(table))["resources"]}
    assert {name for split in table.routes.values() for name in split} <= clusters


copies = st.builds(
    lambda percent, methods: Copied(mirror_of("canary"), percent, tuple(methods)),
    st.integers(1, 100),
    st.lists(st.sampled_from(["GET", "HEAD", "POST"]), unique=True),
)


@settings(max_examples=30)
@given(tables, names, splits, copies)
def test_a_table_survives_its_file(
    table: Routing, service: str, split: dict[str, int], copied: Copied
) -> None:
    assert Routing.from_json(table.to_json()) == table
    mirrored = table.with_route(service, split, {}, copied)
    assert Routing.from_json(mirrored.to_json()) == mirrored


@settings(max_examples=30)
@given(tables, names, splits, copies)
def test_copies_change_no_share_and_end_with_the_next_route(
    table: Routing, service: str, split: dict[str, int], copied: Copied
) -> None:
    mirrored = table.with_route(service, split, {}, copied)
    assert shares_of(dumped(mirrored), service) == split
    assert copies_of(dumped(mirrored), service) == copied.cluster
    after = mirrored.with_route(service, split)
    assert copies_of(dumped(after), service) == ""
    assert after.mirrors == table.with_route(service, split).mirrors


def test_a_mirror_keeps_to_its_revisions_port() -> None:
    table = Routing({"a-1": 1, mirror_of("a-1"): 1}).with_ports({"a-1": 2})
    assert table.clusters == {"a-1": 2, mirror_of("a-1"): 2}


@given(tables, names, splits)
def test_changing_one_service_leaves_the_others(
    table: Routing, service: str, split: dict[str, int]
) -> None:
    others = {name: kept for name, kept in table.routes.items() if name != service}
    assert table.with_route(service, split, {}).routes == {**others, service: split}
    assert table.with_route(service, {}, {}).routes == others


def test_no_route_retries_and_the_catch_all_is_last() -> None:
    text = routes_of(Routing({"a-1": 1}, {"a": {"a-1": 100}}))
    assert "retry" not in text
    routes = json.loads(text)["resources"][0]["virtual_hosts"][0]["routes"]
    assert [route["match"] for route in routes] == [
        {"prefix": "/a/"},
        {"path": "/a"},
        {"prefix": "/"},
    ]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40))
def test_whatever_is_in_a_command_stays_out_of_the_supervisors_file(text: str) -> None:
    program = Program("server-a", ("serve", text), {"KEY": text})
    spec = json.loads(spec_of(program))
    assert (spec["argv"], spec["environment"]) == (["serve", text], {"KEY": text})
    assert ini_of(program) == ini_of(Program("server-a", ("serve",)))


@pytest.mark.parametrize(
    ("keep", "restart", "tries"), [(True, "true", "1000"), (False, "false", "0")]
)
def test_only_a_kept_program_is_started_again(keep: bool, restart: str, tries: str) -> None:
    parser = configparser.RawConfigParser()
    parser.read_string(ini_of(Program("x", ("y",), keep=keep)))
    section = parser["program:x"]
    assert (section["autorestart"], section["startretries"]) == (restart, tries)


def test_the_supervisor_does_not_expand_the_sockets_path() -> None:
    assert "file=/a%%(b)s/sock" in main_ini("/a%(b)s/sock")


def test_prometheus_knows_all_targets_up_front() -> None:
    config = yaml.safe_load(prometheus_config(port=1, proxy_admin_port=2, launcher_port=3))
    targets = {
        job["job_name"]: (job["static_configs"][0]["targets"], job["metrics_path"])
        for job in config["scrape_configs"]
    }
    assert targets == {
        "envoy": (["127.0.0.1:2"], "/stats/prometheus"),
        "launcher": (["127.0.0.1:3"], "/metrics"),
        "prometheus": (["127.0.0.1:1"], "/metrics"),
    }


def test_ports_are_those_asked_for_then_those_of_last_time() -> None:
    chosen = choose_ports(
        Ports(proxy=8080), Ports(7000, 8080, 7002, 7003), free=lambda port: port != 7003
    )
    assert (chosen.proxy, chosen.prometheus) == (8080, 7002)
    assert chosen.launcher not in (0, 8080)
    assert chosen.proxy_admin not in (0, 7003)
    assert endpoints_of(chosen).proxy == "http://127.0.0.1:8080"


def test_a_port_in_use_is_named_with_its_option() -> None:
    with pytest.raises(InputError, match="--prometheus-port: port 9090 is in use") as raised:
        choose_ports(Ports(prometheus=9090), Ports(), free=lambda port: port != 9090)
    assert "sport = :9090" in raised.value.fix
    with pytest.raises(InputError, match="port 9090 is in use"):
        choose_ports(Ports(prometheus=9090, proxy=9090), Ports(), free=lambda port: True)


def test_a_running_stack_does_not_move() -> None:
    present = Ports(1, 2, 3, 4)
    refuse_other_ports(Ports(), present)
    refuse_other_ports(present, present)
    with pytest.raises(InputError, match=r"--launcher-port: .*port 2 and not 9"):
        refuse_other_ports(Ports(launcher=9), present)
