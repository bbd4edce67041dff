"""The Kubernetes manifests: that what belongs together fits, and fits what the server does.

There is no cluster here. The forms were held against the API's schemas of 1.29 and 1.33 by hand
(kubernetes-validate --strict); what the schemas cannot know is held here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadtest.server import ROOT
from router.api.routes import ROUTES
from router.config import load

MANIFESTS = ROOT / "config/kubernetes"
OBJECTS: list[dict[str, Any]] = list(
    yaml.safe_load_all((MANIFESTS / "contact-router.yaml").read_text())
)
NAME = {"app.kubernetes.io/name": "contact-router"}


def kind(name: str) -> list[dict[str, Any]]:
    return [found for found in OBJECTS if found["kind"] == name]


SET = kind("StatefulSet")[0]["spec"]
POD = SET["template"]["spec"]
(NODE,) = POD["containers"]


def test_all_is_in_one_namespace_and_selects_the_nodes() -> None:
    assert {found["metadata"]["namespace"] for found in OBJECTS} == {"contacts"}
    assert SET["template"]["metadata"]["labels"] == NAME
    selectors = [SET["selector"]["matchLabels"]]
    selectors += [service["spec"]["selector"] for service in kind("Service")]
    selectors += [kind("PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"]]
    selectors += [kind("NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"]]
    selectors += [
        rule["labelSelector"]["matchLabels"]
        for rule in POD["affinity"]["podAntiAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
    ]
    assert selectors == [NAME] * len(selectors)


def test_probes_ask_what_the_server_has_and_death_is_not_the_stores_absence() -> None:
    paths = {route.path for route in ROUTES}
    probes = {name: NODE[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
    for probe in probes.values():
        assert probe["httpGet"]["path"] in paths
        assert probe["httpGet"]["port"] in {port["name"] for port in NODE["ports"]}
    assert probes["readiness"]["httpGet"]["path"] == "/readyz"
    assert probes["liveness"]["httpGet"]["path"] == "/healthz"
    assert probes["startup"]["httpGet"]["path"] == "/healthz"


def test_a_node_has_time_to_hand_over_and_never_two_go_at_once() -> None:
    wait = int(NODE["lifecycle"]["preStop"]["exec"]["command"][1])
    stop = re.search(
        r"^TimeoutStopSec=(\d+)$",
        (ROOT / "config/systemd/contact-router.service").read_text(),
        re.MULTILINE,
    )
    assert stop
    assert POD["terminationGracePeriodSeconds"] >= wait + int(stop[1])
    assert kind("PodDisruptionBudget")[0]["spec"]["maxUnavailable"] == 1
    assert SET["replicas"] >= 2
    assert SET["updateStrategy"]["type"] == "RollingUpdate"


def test_the_pod_is_closed_and_runs_as_the_image_does() -> None:
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert user
    whole, own = POD["securityContext"], NODE["securityContext"]
    assert (whole["runAsUser"], whole["runAsGroup"]) == (int(user[1]), int(user[2]))
    assert whole["runAsNonRoot"] is True
    assert whole["seccompProfile"]["type"] == "RuntimeDefault"
    assert own["allowPrivilegeEscalation"] is False
    assert own["readOnlyRootFilesystem"] is True
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert POD["automountServiceAccountToken"] is False


def test_everything_mounted_is_there_and_secrets_are_nobody_elses() -> None:
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    assert {mount["name"] for mount in NODE["volumeMounts"]} == volumes.keys()
    assert volumes["secrets"]["secret"]["defaultMode"] & 0o007 == 0
    claims = {claim["metadata"]["name"] for claim in kind("PersistentVolumeClaim")}
    assert volumes["attachments"]["persistentVolumeClaim"]["claimName"] in claims
    assert kind("PersistentVolumeClaim")[0]["spec"]["accessModes"] == ["ReadWriteMany"]


def test_nodes_reach_each_other_by_the_names_that_they_are_given() -> None:
    (headless,) = [s for s in kind("Service") if s["spec"].get("clusterIP") == "None"]
    assert SET["serviceName"] == headless["metadata"]["name"]
    assert headless["spec"]["publishNotReadyAddresses"] is True
    variables = {one["name"]: one for one in NODE["env"]}
    url = variables["CONTACT_ROUTER_NODE_URL"]["value"]
    assert url == f"http://$(CONTACT_ROUTER_NODE).{SET['serviceName']}.contacts.svc:8080"
    named = variables["CONTACT_ROUTER_NODE"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert named == "metadata.name"


def test_the_network_lets_in_and_out_what_is_needed(tmp_path: Path) -> None:
    policy = kind("NetworkPolicy")[0]["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    into = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    assert into == {port["containerPort"] for port in NODE["ports"]}
    out = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    text = (MANIFESTS / "router.yaml").read_text()
    for name in ("store.password", "cluster.secret"):
        (tmp_path / name).write_text("ab" * 32)
        (tmp_path / name).chmod(0o440)
        text = text.replace(f"/run/secrets/contact-router/{name}", str(tmp_path / name))
    (tmp_path / "router.yaml").write_text(text)
    server = load(tmp_path / "router.yaml").server
    sentinels = {int(place.rpartition(":")[2]) for place in server.journal.sentinels}
    assert sentinels | {6379, server.port, 53} <= out
    assert server.metrics is not None
    assert {server.port, server.metrics.port} == into
    assert server.cluster is not None
    assert server.cluster.attachments_dir in {mount["mountPath"] for mount in NODE["volumeMounts"]}


@pytest.mark.parametrize("image", re.findall(r"image: (\S+)", yaml.safe_dump(OBJECTS)))
def test_images_have_a_version(image: str) -> None:
    assert re.search(r":\d+\.\d+\.\d+$", image)
