"""The words that people read: core's codes and numbers as sentences, each door's settings by that door's names.

Stands directly above core, and knows neither files nor terminals.
"""
