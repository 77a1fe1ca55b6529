"""The manifests for autoscalers: valid where Kubernetes defines them, and asking for figures that dispatch gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import promql_parser
import pytest
import yaml

from tests.contract.services_world import world

ROOT = Path(__file__).parents[2] / "deploy" / "kubernetes"
Json = dict[str, Any]  # Any: whatever a manifest holds
BEHAVIOUR = ("advanced", "horizontalPodAutoscalerConfig", "behavior")


def _closed(properties: Json, *required: str) -> Json:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


COUNT, TEXT = {"type": "integer", "minimum": 0}, {"type": "string", "minLength": 1}
TRIGGER = _closed(
    {
        "type": {"const": "prometheus"},
        "metricType": {"enum": ["AverageValue", "Value"]},
        "metadata": _closed(
            dict.fromkeys(("serverAddress", "query", "threshold", "activationThreshold", "ignoreNullValues"), TEXT),
            "serverAddress",
            "query",
            "threshold",
        ),
    },
    "type",
    "metadata",
)
SCALED_OBJECT = _closed(
    {
        "apiVersion": {"const": "keda.sh/v1alpha1"},
        "kind": {"const": "ScaledObject"},
        "metadata": _closed({"name": TEXT, "namespace": TEXT}, "name"),
        "spec": _closed(
            {
                "scaleTargetRef": _closed({"kind": TEXT, "name": TEXT}, "name"),
                **dict.fromkeys(("pollingInterval", "cooldownPeriod", "minReplicaCount", "maxReplicaCount"), COUNT),
                "fallback": _closed({"failureThreshold": COUNT, "replicas": COUNT}, "failureThreshold", "replicas"),
                "advanced": {"type": "object"},
                "triggers": {"type": "array", "items": TRIGGER, "minItems": 1},
            },
            "scaleTargetRef",
            "triggers",
        ),
    },
    "apiVersion",
    "kind",
    "metadata",
    "spec",
)
"""What KEDA 2 documents of a ScaledObject with a Prometheus trigger; Kubernetes itself knows no such kind."""


def documents(name: str) -> list[Json]:
    return list(yaml.safe_load_all((ROOT / name).read_text("utf-8")))


def queries() -> list[str]:
    asked = [trigger["metadata"]["query"] for one in documents("keda-scaledobject.yaml") for trigger in one["spec"]["triggers"]]
    rules = yaml.safe_load(documents("hpa.yaml")[1]["data"]["config.yaml"])["externalRules"]
    made = [rule["metricsQuery"].replace("<<.Series>>", rule["seriesQuery"]) for rule in rules]
    return [*asked, *(query.replace("<<.LabelMatchers>>", "") for query in made)]


def autoscaler(behavior: Json) -> Json:
    made: Json = documents("hpa.yaml")[0]
    made["spec"]["behavior"] = behavior
    return made


@pytest.mark.parametrize("document", documents("hpa.yaml"), ids=lambda document: str(document["kind"]))
def test_what_kubernetes_knows_is_valid(document: Json) -> None:
    kubernetes_validate.validate(document, "1.37", strict=True)


def test_a_wrong_field_is_seen() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(autoscaler({"scaleUpwards": {}}), "1.37", strict=True)


@pytest.mark.parametrize("document", documents("keda-scaledobject.yaml"), ids=lambda document: str(document["metadata"]["name"]))
def test_what_keda_knows_is_valid(document: Json) -> None:
    jsonschema.validate(document, SCALED_OBJECT)
    found: Json = document["spec"]
    for name in BEHAVIOUR:
        found = found.get(name, {})
    kubernetes_validate.validate(autoscaler(found), "1.37", strict=True)


async def test_every_query_is_one_and_asks_for_what_is_there(tmp_path: Path) -> None:
    async with world(tmp_path) as farm:
        await farm.submit()
        text = (await farm.core.services.metrics.text()).decode()
    there = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))

    for query in queries():
        promql_parser.parse(query)
        assert set(re.findall(r"\breelyard_\w+", query)) <= there
    assert len(queries()) == 3
