"""Environments: batches of games behind one dm_env interface."""
