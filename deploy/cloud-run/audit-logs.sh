#!/usr/bin/env bash
# Switches on the logs of who changed Firestore's documents and who read a secret; Google writes none of them by
# itself. BigQuery's are always on. Safe to repeat: logs that others have switched on stay on, and if nothing is
# missing, nothing is written. Cloud Logging bills by volume; docs/audit.md shows how to read them.
#
#   PROJECT=my-project deploy/cloud-run/audit-logs.sh
set -euo pipefail

: "${PROJECT:?the Google Cloud project}"

policy=$(mktemp)
trap 'rm -f "$policy"' EXIT
gcloud projects get-iam-policy "$PROJECT" --format json >"$policy"

# The policy keeps its etag: if somebody else changes it meanwhile, Google refuses ours. Ends with 3 if all is there.
python3 - "$policy" <<'PYTHON' && missing=0 || missing=$?
import json
import sys

# Firestore is called Datastore here. Its DATA_READ would log every read of the hourly run and the sender.
WANTED = {"datastore.googleapis.com": ["DATA_WRITE"], "secretmanager.googleapis.com": ["DATA_READ"]}
with open(sys.argv[1], encoding="utf-8") as file:
    policy = json.load(file)
configs = policy.setdefault("auditConfigs", [])
has_changed = False
for service, types in WANTED.items():
    # "allServices" holds for every service.
    known = [config for config in configs if config["service"] in (service, "allServices")]
    is_on = {log["logType"] for config in known for log in config["auditLogConfigs"]}
    missing = [{"logType": type_} for type_ in types if type_ not in is_on]
    if not missing:
        continue
    has_changed = True
    own = next((config for config in configs if config["service"] == service), None)
    if own is None:
        configs.append({"service": service, "auditLogConfigs": missing})
    else:
        own["auditLogConfigs"] += missing
if not has_changed:
    sys.exit(3)
with open(sys.argv[1], "w", encoding="utf-8") as file:
    json.dump(policy, file)
PYTHON

case $missing in
    0) gcloud projects set-iam-policy "$PROJECT" "$policy" --quiet >/dev/null && echo "The logs are on." ;;
    3) echo "The logs were on already." ;;
    *) exit "$missing" ;;
esac
