"""De-identification: personal data and secrets are replaced by placeholders before anything is stored."""
