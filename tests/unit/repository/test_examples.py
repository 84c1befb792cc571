"""The examples for more than one machine are of the right form, and their shards are all there are."""

from __future__ import annotations

import py_compile
import re
from pathlib import Path
from typing import Any

import yaml
from cliplane_client.batch_plan import shard

BATCH = Path(__file__).parents[3] / "examples" / "batch"


def test_the_indexed_job_has_a_pod_for_each_shard() -> None:
    job: dict[str, Any] = yaml.safe_load((BATCH / "kubernetes.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    spec = job["spec"]
    assert spec["completionMode"] == "Indexed"
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # backoffLimitPerIndex asks for it
    (container,) = pod["containers"]
    (given,) = (word for word in container["args"] if word.startswith("--shard="))
    for index in range(spec["completions"]):
        assert shard(given.removeprefix("--shard=").replace("$(JOB_COMPLETION_INDEX)", str(index))).index == index
    assert shard(given.removeprefix("--shard=").replace("$(JOB_COMPLETION_INDEX)", "0")).count == spec["completions"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_the_array_begins_at_0_and_the_pipeline_compiles(tmp_path: Path) -> None:
    assert re.search(r"(?m)^#SBATCH --array=0-\d+$", (BATCH / "slurm.sh").read_text())
    py_compile.compile(str(BATCH / "ray_data.py"), cfile=str(tmp_path / "ray_data.pyc"), doraise=True)
