"""Connects an Open edX platform with Schoolbell: its events as webhooks, its filters as webfilters."""

__version__ = "0.1.0"
