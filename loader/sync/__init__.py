"""The loader: from rows of campaign_targets to target documents. Pure: knows no Google type."""
