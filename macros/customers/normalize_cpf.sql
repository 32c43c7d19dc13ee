{% macro normalize_cpf(column) -%}
    (
        select
            case
                when padded = repeat(left(padded, 1), 11) then null
                when padded = digits then digits
                -- A number column loses leading zeros. They are added again only if the check
                -- digits are then right.
                when {{ has_cpf_check_digits('padded') }} then padded
            end
        from (
            select
                digits,
                lpad(digits, 11, '0') as padded
            from
                unnest([
                    -- Only digits and usual separators: a masked CPF, a passport number or 1.2E+10
                    -- is not a CPF. A number column may also have left a `.0` behind.
                    regexp_extract(
                        regexp_replace(
                            regexp_replace({{ column }}, r'^\s*(\d+)[.,]0{1,2}\s*$', r'\1'),
                            r'[\s.,/\p{Pd}\p{Z}\p{Cf}]',
                            ''
                        ),
                        r'^\d{1,11}$'
                    )
                ]) as digits
        )
    )
{%- endmacro %}

{% macro has_cpf_check_digits(cpf) -%}
    {#- https://www.gov.br/receitafederal: the sum of the digits times their weights, modulo 11. -#}
    {%- for length in [9, 10] -%}
        {%- set products = [] -%}
        {%- for place in range(1, length + 1) -%}
            {%- do products.append(
                "safe_cast(substr(" ~ cpf ~ ", " ~ place ~ ", 1) as int64) * "
                ~ (length + 2 - place)
            ) -%}
        {%- endfor -%}
        mod(mod(10 * ({{ products | join(" + ") }}), 11), 10)
        = safe_cast(substr({{ cpf }}, {{ length + 1 }}, 1) as int64)
        {%- if not loop.last %} and {% endif %}
    {%- endfor -%}
{%- endmacro %}
