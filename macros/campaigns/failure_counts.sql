{% macro failure_counts(error_code) -%}
    {#- The codes of whatsapp_error_classes whose counts_as_attempt is true, as a list: a query
        that reads the seed bills 10 MiB more. A test compares list and seed. Codes that are not
        numbers come from other programs' senders, and count. -#}
    (
        {{ error_code }} is null
        or (
            not regexp_contains({{ error_code }}, r'^[0-9]+$')
            and {{ error_code }} != 'not_sent'
        )
        or {{ error_code }} in (
            '1', '2', '4', '100', '80007', '80008', '130403', '130429', '130472', '131000',
            '131008', '131009', '131016', '131021', '131026', '131030', '131047', '131049',
            '131050', '131051', '131052', '131053', '131056', '131057', '131062', '132000',
            '132005', '132007', '132008', '132012', '132018', '132068', '132069', '133004',
            '135000'
        )
    )
{%- endmacro %}
