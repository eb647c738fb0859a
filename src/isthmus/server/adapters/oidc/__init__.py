"""An OpenID Connect provider: its documents, its keys, and what it signs."""
