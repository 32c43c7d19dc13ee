"""What every part uses: identifiers, errors, the environment, logs, signals, retries."""
