"""A Singer tap on singer-sdk, piped into target-postgres, as Meltano runs them. `singer_peer.py tap` is the tap."""

import json
import os
import random
import subprocess
import sys
import tempfile

from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.pagination import BasePageNumberPaginator


# Jitter in seconds is divided by it.
SPEED = float(os.environ["BENCH_SPEED"])
# Whether it waits as long as a 429 asks, as the SDK's code samples show ("Custom Backoff").
IS_REMEDIED = os.environ["BENCH_REMEDY"] == "1"


def read_retry_after(error):
    return int(error.response.headers.get("Retry-After", 0))


class Pages(BasePageNumberPaginator):
    def has_more(self, response):
        return self.current_value < response.json()["pagination"]["totalPages"]


class BatchJobs(RESTStream):
    name = "batch_jobs"
    path = "/batch/scrape"
    primary_keys = ["uuid"]
    records_jsonpath = "$.jobs[*]"
    url_base = os.environ["SPIDRA_API_URL"]
    schema = th.PropertiesList(
        th.Property("uuid", th.UUIDType),
        th.Property("status", th.StringType),
        th.Property("totalUrls", th.IntegerType),
        th.Property("completedCount", th.IntegerType),
        th.Property("failedCount", th.IntegerType),
        th.Property("outputFormat", th.StringType),
        th.Property("scrapingChannel", th.StringType),
        th.Property("createdAt", th.DateTimeType),
        th.Property("finishedAt", th.DateTimeType),
    ).to_dict()

    @property
    def http_headers(self):
        return {"x-api-key": os.environ["SPIDRA_API_KEY"]}

    def get_new_paginator(self):
        return Pages(1)

    def get_url_params(self, context, next_page_token):
        return {"page": next_page_token or 1, "limit": 50}

    def backoff_wait_generator(self):
        return self.backoff_runtime(value=read_retry_after) if IS_REMEDIED else super().backoff_wait_generator()

    def backoff_max_tries(self):
        return 20 if IS_REMEDIED else super().backoff_max_tries()

    def backoff_jitter(self, value):
        return value + random.uniform(0, 1) / SPEED


class SpidraTap(Tap):
    name = "tap-spidra"
    config_jsonschema = th.PropertiesList().to_dict()

    def discover_streams(self):
        return [BatchJobs(self)]


def main():
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, "target.json")
        with open(config, "w") as file:
            url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
            json.dump({"sqlalchemy_url": url, "default_target_schema": "spidra_singer", "hard_delete": False}, file)
        target = os.path.join(os.path.dirname(sys.executable), "target-postgres")
        tap = subprocess.Popen([sys.executable, __file__, "tap"], stdout=subprocess.PIPE)
        code = subprocess.run([target, "--config", config], stdin=tap.stdout, stdout=subprocess.DEVNULL).returncode
        sys.exit(tap.wait() or code)


if sys.argv[1:] == ["tap"]:
    SpidraTap.cli([])
else:
    main()
