"""The archive of records: sealed, chained, listed, searched, compared, copied and pruned.

Each module has one task; none loads more than the standard library when it is imported, so that
lists and searches are instant.
"""
