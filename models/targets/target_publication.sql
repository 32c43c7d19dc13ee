-- Built only after campaign_targets was built. It is needed because an empty campaign_targets has
-- no row that shows its age.
-- depends_on: {{ ref('campaign_targets') }}
select
    {{ sql_text(var('cnpj')) }} as cnpj,
    {{ now() }} as built_at
