{#- Like loader/base/pseudonyms.py. -#}
{% macro pseudonym(identifier) -%}
    concat(
        {{ pseudonym_prefix() }},
        left(to_hex(sha256(concat({{ person_key() }}, '|', {{ identifier }}))), 32)
    )
{%- endmacro %}

{% macro pseudonym_prefix() -%} 'person-' {%- endmacro %}

{#- The digits alone could be another customer's id. -#}
{% macro cpf_pseudonym(cpf) -%} {{ pseudonym("concat('cpf:', " ~ cpf ~ ")") }} {%- endmacro %}

{#- A function, for the reasons that macros/vouchers/voucher_code.sql gives. -#}
{% macro person_key() -%}
    `{{ target.project }}.{{ checked_cnpj() }}_CAMPAIGN.person_key`()
{%- endmacro %}

{#- customer_facts has erased customers under their pseudonyms; their sales are found by them. -#}
{% macro cpf_of_facts(cpf, customers) -%}
    if(
        {{ cpf_pseudonym(cpf) }} in (
            select cpf from {{ customers }}
            where starts_with(cpf, {{ pseudonym_prefix() }})
        ),
        {{ cpf_pseudonym(cpf) }},
        {{ cpf }}
    )
{%- endmacro %}
