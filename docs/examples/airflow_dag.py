"""An Airflow DAG: build a model every night, then evaluate it. Copy it into the folder of DAGs.

The workers need onlineml (``pip install '.[notebook]'`` in the repository's folder), and the storage's credentials in
their environment.
Each task has a record in the project, so `onlineml jobs s3://lab/butterflies` shows it as well as Airflow does.
"""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta

try:  # Airflow 3
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.operators.bash import BashOperator

PROJECT = "s3://lab/butterflies"


def run(notebook: str, **parameters: object) -> str:
    """The command that runs a notebook; its exit code is non-zero exactly if it did not run to its end."""
    given = [part for name, value in parameters.items() for part in ("-p", name, str(value))]
    return shlex.join(["onlineml", "run", notebook, "-p", "project_url", PROJECT, *given])


with DAG(
    dag_id="onlineml_nightly",
    schedule="15 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # the notebooks look at what is there now, so past nights need not be made up for
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(minutes=10), "execution_timeout": timedelta(hours=4)},
):
    build = BashOperator(
        task_id="build",
        bash_command=f"exec {run('1_build', photos='s3://lab/photos', budget_s=3600, promote=False)}",
    )
    evaluate = BashOperator(task_id="evaluate", bash_command=f"exec {run('3_evaluate', model_ref='challenger')}")
    build >> evaluate
