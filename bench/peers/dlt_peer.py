"""Loads the list with dlt, as its documentation shows for a paged REST API and a merge by key."""

import os

import dlt
from dlt.sources.rest_api import rest_api_source

# Its state and staging files live beside its virtual environment.
os.environ["DLT_DATA_DIR"] = os.environ["BENCH_DATA"]
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

source = rest_api_source(
    {
        "client": {
            "base_url": os.environ["SPIDRA_API_URL"] + "/",
            "headers": {"x-api-key": os.environ["SPIDRA_API_KEY"]},
            "paginator": {"type": "page_number", "base_page": 1, "total_path": "pagination.totalPages"},
        },
        "resources": [
            {
                "name": "batch_jobs",
                "primary_key": "uuid",
                "write_disposition": {"disposition": "merge", "strategy": "upsert"},
                "endpoint": {"path": "batch/scrape", "params": {"limit": 50}, "data_selector": "jobs"},
            }
        ],
    }
)
name = os.environ["DATABASE_URL"].rsplit("/", 1)[1]
pipeline = dlt.pipeline(
    pipeline_name=f"bench_{name}",
    destination=dlt.destinations.postgres(os.environ["DATABASE_URL"]),
    dataset_name="spidra_dlt",
)
pipeline.run(source).raise_on_failed_jobs()
