"""OpenStack Placement: candidates and claims, in its own process and virtual environment, without HTTP in between.

What it does   1,000 resource providers with vCPUs, memory and disk in SQLite; then allocations one after the other:
               candidates (limit 10), and the claim of the first. Called as a WSGI application, which is kinder to it than
               a socket. Run by placement.py with the Python of its environment; prints one JSON object.
"""

import json
import os
import statistics
import sys
import time
import uuid
from typing import Any

NODES, ROUNDS = 1000, 60
VERSION = "placement 1.39"


def main() -> None:
    from oslo_config import cfg
    from placement import conf, deploy

    config = cfg.ConfigOpts()
    conf.register_opts(config)
    os.environ["OS_PLACEMENT_DATABASE__CONNECTION"] = f"sqlite:///{sys.argv[1]}/placement.db"
    os.environ["OS_PLACEMENT_DATABASE__SYNC_ON_STARTUP"] = "true"
    os.environ["OS_API__AUTH_STRATEGY"] = "noauth2"
    config([], project="placement", default_config_files=[])
    app = deploy.loadapp(config)

    def call(method: str, path: str, body: Any = None) -> Any:
        from webob import Request

        request = Request.blank(path, method=method)
        request.headers.update(
            {"x-auth-token": "admin", "openstack-api-version": VERSION, "accept": "application/json"}
        )
        if body is not None:
            request.content_type, request.body = "application/json", json.dumps(body).encode()
        answer = request.get_response(app)
        if answer.status_int >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.text[:300]}")
        return json.loads(answer.body) if answer.body else None

    for number in range(NODES):
        id = str(uuid.UUID(int=number + 1))
        call("POST", "/resource_providers", {"name": f"node{number}", "uuid": id})
        sizes = {"VCPU": 256, "MEMORY_MB": 262144, "DISK_GB": 10000}
        inventories = {name: {"total": total} for name, total in sizes.items()}
        call(
            "PUT",
            f"/resource_providers/{id}/inventories",
            {"resource_provider_generation": 0, "inventories": inventories},
        )
    took = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        found = call("GET", "/allocation_candidates?resources=VCPU:2,MEMORY_MB:4096,DISK_GB:20&limit=10")
        chosen = found["allocation_requests"][0]
        body = {
            **chosen,
            "project_id": "p",
            "user_id": "u",
            "consumer_generation": None,
            "consumer_type": "INSTANCE",
        }
        call("PUT", f"/allocations/{uuid.uuid4()}", body)
        took.append(time.perf_counter() - begin)
    took.sort()
    print(json.dumps({"per_s": 1 / statistics.mean(took), "p99_s": took[int(len(took) * 0.99)]}))


if __name__ == "__main__":
    main()
