"""The roof of hardmail: supervisor, kernel sandbox, profiles, behaviours and the command line."""

__version__ = "0.1.0"
