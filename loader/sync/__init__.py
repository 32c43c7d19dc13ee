"""From rows of campaign_targets to target documents. Pure: it uses no Google type."""
