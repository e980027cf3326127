"""Loads the list with dlt, as its documentation shows for a paged REST API and a merge by key."""

import os

import dlt
from dlt.sources.rest_api import rest_api_source

# Its state and staging files live beside its virtual environment.
os.environ["DLT_DATA_DIR"] = os.environ["BENCH_DATA"]
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
# It waits as long as a 429 asks. Its backoff, of a factor of 1 s and at most 300 s, is only for answers that ask nothing.
speed = float(os.environ["BENCH_SPEED"])
os.environ["RUNTIME__REQUEST_BACKOFF_FACTOR"] = str(1 / speed)
os.environ["RUNTIME__REQUEST_MAX_RETRY_DELAY"] = str(300 / speed)
if os.environ["BENCH_REMEDY"] == "1":
    os.environ["RUNTIME__REQUEST_MAX_ATTEMPTS"] = "20"

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
                # Its default strategy, delete-insert: "upsert" fails on a list that names a job twice, as one does into which
                # jobs arrive while it is read.
                "write_disposition": "merge",
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
