"""The few words that both wings share: errors, atomic files, logging. Nothing else goes here."""
