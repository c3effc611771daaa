"""Finding secrets in text: each module looks for one kind and replaces it by a mark.

Everything passes :class:`runbook.secrets.Redactor`, which runs them until nothing changes any
more. No module may put anything but :data:`runbook.redaction.scan.MARK` into a text, so each pass
leaves less to find than the one before, and a text redacted twice is the text redacted once.
"""
