"""Operators' tasks: onboarding, checks, status and alerts."""
