"""The roof of hardmail: supervisor, kernel sandbox, profiles, behaviours and the command line."""
