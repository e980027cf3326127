"""PyAirbyte: a declarative manifest as the connector builder writes it, into its Postgres cache."""

import os
from urllib.parse import urlsplit

os.environ["AIRBYTE_CACHE_ROOT"] = os.environ["BENCH_DATA"]
os.environ["DO_NOT_TRACK"] = "1"
os.environ["AIRBYTE_OFFLINE_MODE"] = "1"

import airbyte as ab  # noqa: E402
from airbyte.caches import PostgresCache  # noqa: E402

STREAM = {
    "type": "DeclarativeStream",
    "name": "batch_jobs",
    "primary_key": ["uuid"],
    "retriever": {
        "type": "SimpleRetriever",
        "requester": {
            "type": "HttpRequester",
            "url_base": os.environ["SPIDRA_API_URL"],
            "path": "/batch/scrape",
            "http_method": "GET",
            "request_headers": {"x-api-key": os.environ["SPIDRA_API_KEY"]},
        },
        "record_selector": {"type": "RecordSelector", "extractor": {"type": "DpathExtractor", "field_path": ["jobs"]}},
        "paginator": {
            "type": "DefaultPaginator",
            "page_token_option": {"type": "RequestOption", "field_name": "page", "inject_into": "request_parameter"},
            "page_size_option": {"type": "RequestOption", "field_name": "limit", "inject_into": "request_parameter"},
            "pagination_strategy": {"type": "PageIncrement", "page_size": 50, "start_from_page": 1, "inject_on_first_request": True},
        },
    },
    "schema_loader": {
        "type": "InlineSchemaLoader",
        "schema": {
            "type": "object",
            "properties": {
                **{name: {"type": ["null", "string"]} for name in ["uuid", "status", "outputFormat", "scrapingChannel"]},
                **{name: {"type": ["null", "integer"]} for name in ["totalUrls", "completedCount", "failedCount"]},
                **{name: {"type": ["null", "string"], "format": "date-time"} for name in ["createdAt", "finishedAt"]},
            },
        },
    },
}
if os.environ["BENCH_REMEDY"] == "1":
    # It waits as long as a 429 asks, as its documentation of error handling shows, and a second more of its own.
    STREAM["retriever"]["requester"]["error_handler"] = {
        "type": "DefaultErrorHandler",
        "max_retries": 20,
        "backoff_strategies": [{"type": "WaitTimeFromHeader", "header": "Retry-After"}],
    }
MANIFEST = {
    "version": "6.0.0",
    "type": "DeclarativeSource",
    "check": {"type": "CheckStream", "stream_names": ["batch_jobs"]},
    "streams": [STREAM],
    "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
}

url = urlsplit(os.environ["DATABASE_URL"])
cache = PostgresCache(
    host=url.hostname,
    port=url.port,
    username=url.username,
    password=url.password,
    database=url.path[1:],
    schema_name="spidra_airbyte",
)
source = ab.get_source("source-spidra", config={}, source_manifest=MANIFEST, streams="*")
source.read(cache=cache, write_strategy="merge", force_full_refresh=True)
