"""The files to copy: what they start is understood."""

from __future__ import annotations

import json

import yaml

from onlineml.cli import main as cli
from places import ROOT

EXAMPLES = ROOT / "docs" / "examples" / "serve"


def entry_point() -> list[str]:
    lines = (EXAMPLES / "Dockerfile").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith("ENTRYPOINT ")]
    command: list[str] = json.loads(line.removeprefix("ENTRYPOINT "))
    return command


def test_the_container_serves_what_kubernetes_names() -> None:
    deployment, service = yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text(encoding="utf-8"))
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    name, *words = [*entry_point(), *container["args"]]
    chosen = cli._parser().parse_args(words)
    assert (name, chosen.name, chosen.model) == ("onlineml", "serve", "s3://lab/butterflies@champion")
    assert chosen.host == "0.0.0.0"  # noqa: S104 - of the container
    assert container["ports"] == [{"containerPort": chosen.port}]
    assert service["spec"]["ports"][0]["targetPort"] == chosen.port
    assert service["spec"]["selector"] == pod["metadata"]["labels"] == deployment["spec"]["selector"]["matchLabels"]
    assert {probe["httpGet"]["port"] for key, probe in container.items() if key.endswith("Probe")} == {chosen.port}
    assert "ONLINEML_SERVE_TOKEN" in (EXAMPLES / "kubernetes.yaml").read_text(encoding="utf-8")
