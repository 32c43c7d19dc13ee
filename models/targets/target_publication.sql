-- Built after campaign_targets, and only if that was built: an empty campaign_targets has no row to
-- say how old it is.
-- depends_on: {{ ref('campaign_targets') }}
select
    {{ sql_text(var('cnpj')) }} as cnpj,
    {{ now() }} as built_at
