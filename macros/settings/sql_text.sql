{% macro sql_text(value) -%}
    {%- if value is string -%}
        {#- The backslash first, so that it does not escape what is escaped behind it. -#}
        '{{ value
            | replace("\\", "\\\\")
            | replace("'", "\\'")
            | replace("\n", "\\n")
            | replace("\r", "\\r")
            | replace("\0", "\\000") }}'
    {%- elif value is sequence and value is not mapping -%}
        array<string>[
        {%- for text in value -%} {{ sql_text(text) }}{{ ", " if not loop.last }} {%- endfor -%}
        ]
    {%- else -%}
        {{ exceptions.raise_compiler_error(
            "sql_text takes a text or a list of texts, not " ~ type_in_words(value)
        ) }}
    {%- endif -%}
{%- endmacro %}
