{% macro cnpj_is_valid(cnpj) %}
    {%- if not modules.re.fullmatch("[0-9A-Z]{12}[0-9]{2}", cnpj) or cnpj == cnpj[0] * 14 -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set symbols = "0123456789_______ABCDEFGHIJKLMNOPQRSTUVWXYZ" -%}
    {%- for length in [12, 13] -%}
        {%- set total = namespace(value=0) -%}
        {%- for character in cnpj[:length] -%}
            {%- set weight = 2 + (length - 1 - loop.index0) % 8 -%}
            {%- set total.value = total.value + symbols.index(character) * weight -%}
        {%- endfor -%}
        {%- set remainder = total.value % 11 -%}
        {%- if (0 if remainder < 2 else 11 - remainder) != cnpj[length] | int -%}
            {{ return(false) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(true) }}
{% endmacro %}
