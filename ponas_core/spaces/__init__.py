"""Shipped search spaces, one TOML file each."""
