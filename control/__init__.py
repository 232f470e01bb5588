"""Faces for people and programs: command line, management interface, certificates, settings."""
