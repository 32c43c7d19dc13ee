{% macro normalize_cpf(column) -%}
    (
        select
            if(cpf = repeat(substr(cpf, 1, 1), 11), null, cpf)
        from
            unnest([
                -- A number column on the way here loses the leading zeros; lpad cuts what is
                -- longer, so length is tested on the digits themselves.
                if(
                    length(regexp_replace({{ column }}, r'[^0-9]', '')) between 1 and 11,
                    lpad(regexp_replace({{ column }}, r'[^0-9]', ''), 11, '0'),
                    null
                )
            ]) as cpf
    )
{%- endmacro %}
