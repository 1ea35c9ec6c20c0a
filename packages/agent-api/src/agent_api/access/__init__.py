"""Who may ask the daemon for what: keys, scopes, tenants, limits, the audit log. Closed by default."""
