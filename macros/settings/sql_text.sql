{% macro sql_text(value) -%}
    {%- if value is string -%}
        {#- The backslash first: otherwise it would double the backslashes of the other escapes. -#}
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
