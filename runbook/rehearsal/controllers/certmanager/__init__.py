"""cert-manager: issuers, certificates and what lies between them."""

from runbook.rehearsal.controllers.certmanager.certificates import Certificates
from runbook.rehearsal.controllers.certmanager.issuers import Issuers
from runbook.rehearsal.controllers.certmanager.signing import Requests

__all__ = ["Certificates", "Issuers", "Requests"]
