#!/usr/bin/env bash
# Makes a service account for each laundromat, which can access only that laundromat's datasets. With
# VMHUB_IMPERSONATE=vmhub-{cnpj}@my-project.iam.gserviceaccount.com the jobs use this account, so BigQuery
# itself refuses what vmhub's own checks may have missed. Run it once for each laundromat, after
# `vmhub onboard`, as an owner of the datasets. Safe to repeat. It revokes what grant.sh granted to the
# jobs' own account.
#
#   PROJECT=my-project deploy/cloud-run/accounts.sh 12ABC34501DE35 11222333000181
set -euo pipefail

: "${PROJECT:?the Google Cloud project}"
[[ $# -gt 0 ]] || { echo "which laundromats? give their CNPJs" >&2; exit 2; }

email() { echo "$1@$PROJECT.iam.gserviceaccount.com"; }

sql() { bq --project_id "$PROJECT" --quiet query --use_legacy_sql=false "$1"; }

grant() { # role, dataset, account
    sql "GRANT \`roles/bigquery.$1\` ON SCHEMA \`$PROJECT\`.\`$2\` TO 'serviceAccount:$(email "$3")'"
}

revoke() { # role, dataset, account
    sql "REVOKE \`roles/bigquery.$1\` ON SCHEMA \`$PROJECT\`.\`$2\` FROM 'serviceAccount:$(email "$3")'"
}

for cnpj in "$@"; do
    # It becomes part of the statements, so check it.
    [[ $cnpj =~ ^[0-9A-Z]{12}[0-9]{2}$ ]] || { echo "'$cnpj' is no CNPJ" >&2; exit 2; }
done

# The records of all laundromats are in the same tables: each account sees only its own rows, and the
# jobs' accounts see all.
for table in runs sync_runs; do
    sql "CREATE OR REPLACE ROW ACCESS POLICY jobs ON \`$PROJECT\`.VMHUB_OPS.$table
         GRANT TO ('serviceAccount:$(email vmhub-run)', 'serviceAccount:$(email vmhub-alert)')
         FILTER USING (true)"
    sql "CREATE OR REPLACE ROW ACCESS POLICY laundromats ON \`$PROJECT\`.VMHUB_OPS.$table
         GRANT TO ('allAuthenticatedUsers')
         FILTER USING (session_user() = concat('vmhub-', lower(cnpj), '@$PROJECT.iam.gserviceaccount.com'))"
done

for cnpj in "$@"; do
    name="vmhub-${cnpj,,}"
    account=$(email "$name")
    gcloud iam service-accounts describe "$account" --project "$PROJECT" >/dev/null 2>&1 ||
        gcloud iam service-accounts create "$name" --project "$PROJECT" \
            --display-name "VMHub: laundromat $cnpj"
    gcloud iam service-accounts add-iam-policy-binding "$account" --project "$PROJECT" \
        --member "serviceAccount:$(email vmhub-run)" \
        --role roles/iam.serviceAccountTokenCreator
    for role in bigquery.jobUser bigquery.readSessionUser; do
        gcloud projects add-iam-policy-binding "$PROJECT" --condition None \
            --member "serviceAccount:$account" --role "roles/$role"
    done
    grant dataViewer "${cnpj}_RAW" "$name"
    grant dataEditor "${cnpj}_CAMPAIGN" "$name"
    grant dataViewer VMHUB_OPS "$name"
    # From here on, only the laundromat's account accesses these datasets.
    revoke dataViewer "${cnpj}_RAW" vmhub-run
    revoke dataEditor "${cnpj}_CAMPAIGN" vmhub-run
done
