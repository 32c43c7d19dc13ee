#!/usr/bin/env bash
# Makes a service account for each laundromat, which can access only that laundromat's datasets. With
# VMHUB_IMPERSONATE=vmhub-{cnpj}@my-project.iam.gserviceaccount.com the jobs use this account, so BigQuery
# itself refuses what vmhub's own checks may have missed. Run it once for each laundromat, after
# `vmhub onboard`, as an owner of the datasets. Safe to repeat. Roles are those of deploy/roles, which takes the
# laundromat's datasets from the jobs' own account. Variables: grant.sh.
#
#   PROJECT=my-project deploy/cloud-run/accounts.sh 12ABC34501DE35 11222333000181
set -euo pipefail

: "${PROJECT:?the Google Cloud project}"
[[ $# -gt 0 ]] || { echo "which laundromats? give their CNPJs" >&2; exit 2; }

# shellcheck source=deploy/cloud-run/roles.sh
source "$(dirname "$0")/roles.sh"
check_cnpjs "$@"

# The records of all laundromats are in the same tables: each account sees only its own rows; the jobs' accounts and
# the groups of people see all.
all="'serviceAccount:$(address vmhub-run)', 'serviceAccount:$(address vmhub-alert)'"
for group in "$OWNERS" "$OPERATORS" "$AUDITORS"; do
    [[ -z $group ]] || all+=", '$group'"
done
for table in runs sync_runs; do
    sql "CREATE OR REPLACE ROW ACCESS POLICY jobs ON \`$PROJECT\`.VMHUB_OPS.$table
         GRANT TO ($all)
         FILTER USING (true)"
    sql "CREATE OR REPLACE ROW ACCESS POLICY laundromats ON \`$PROJECT\`.VMHUB_OPS.$table
         GRANT TO ('allAuthenticatedUsers')
         FILTER USING (session_user() = concat('vmhub-', lower(cnpj), '@$PROJECT.iam.gserviceaccount.com'))"
done

for cnpj in "$@"; do
    name="vmhub-${cnpj,,}"
    has_account "$name" ||
        gcloud iam service-accounts create "$name" --project "$PROJECT" \
            --display-name "VMHub: laundromat $cnpj"
    MADE+="$name "
done
# From here on, only the laundromat's account accesses its datasets.
hold_laundromats "$@"
