"""What an API server knows of objects: schemas, defaults, rules, patches, field ownership.

Pure functions on plain dicts; nothing here knows of requests or of storage.
"""
