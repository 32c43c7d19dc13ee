"""How the hourly runs are doing: `vmhub status`, and alerts when that changes."""
