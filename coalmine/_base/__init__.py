"""The few words that both wings share: errors, files, YAML, logging. Nothing else goes here."""
