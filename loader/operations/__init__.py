"""What operators ask and set up: onboarding, checks, status and alerts."""
