"""Who may join: the provisioned nodes, in a database or in the configuration."""
