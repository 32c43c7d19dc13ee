#!/usr/bin/env bash
# Lets the jobs read and write laundromats' datasets. Run it once for each, after `vmhub onboard`, as
# an owner of the datasets. Safe to repeat.
#
#   PROJECT=my-project deploy/cloud-run/grant.sh 12ABC34501DE35 11222333000181
set -euo pipefail

: "${PROJECT:?the Google Cloud project}"
[[ $# -gt 0 ]] || { echo "pass the CNPJs of the laundromats" >&2; exit 2; }

grant() { # role, dataset, account
    bq --project_id "$PROJECT" --quiet query --use_legacy_sql=false \
        "GRANT \`roles/bigquery.$1\` ON SCHEMA \`$PROJECT\`.\`$2\`
         TO 'serviceAccount:$3@$PROJECT.iam.gserviceaccount.com'"
}

for cnpj in "$@"; do
    # It becomes part of the statement, so check it.
    [[ $cnpj =~ ^[0-9A-Z]{12}[0-9]{2}$ ]] || { echo "'$cnpj' is not a CNPJ" >&2; exit 2; }
done
grant dataEditor VMHUB_OPS vmhub-run
grant dataEditor VMHUB_OPS vmhub-alert
grant dataEditor VMHUB_OPS vmhub-send
for cnpj in "$@"; do
    grant dataViewer "${cnpj}_RAW" vmhub-run
    grant metadataViewer "${cnpj}_RAW" vmhub-alert
    grant dataEditor "${cnpj}_CAMPAIGN" vmhub-run
done
