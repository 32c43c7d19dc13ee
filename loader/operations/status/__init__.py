"""How the hourly runs are doing: `vmhub status`, and who is told when that changes."""
