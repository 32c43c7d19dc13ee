{% macro normalize_phone(column) -%}
    (
        select
            if(
                regexp_contains(
                    concat('55', mobile),
                    r'^55(1[1-9]|2[12478]|3[1-578]|4[1-9]|5[1345]|6[1-9]|7[134579]|8[1-9]|9[1-9])9\d{8}$'
                ),
                concat('+55', mobile),
                null
            )
        from
            unnest([
                -- From the inside out: digits, then without 00, without 0 and carrier, without
                -- 55 (only before 10 or 11 digits: 55 is also an area code), then the ninth digit.
                regexp_replace(
                    regexp_replace(
                        regexp_replace(
                            regexp_replace(
                                regexp_replace({{ column }}, r'[^0-9]', ''), r'^00', ''
                            ),
                            r'^0(?:\d{2})?(\d{10,11})$', r'\1'
                        ),
                        r'^55(\d{10,11})$', r'\1'
                    ),
                    r'^(\d{2})([6-9]\d{7})$', r'\19\2'
                )
            ]) as mobile
    )
{%- endmacro %}
