"""Manifests: resources as people write them down, to be applied again and again.

In this room   forms.py: what a manifest of each kind says, and the manifest of a resource that is there
               compare.py: what a manifest would change
               applying.py: carrying that out, through the same requests as everybody's
Always true    a manifest is the body of the request that creates the kind, with `kind` in front. Applying the manifest
               of a resource changes nothing; what a manifest leaves out stays as it is.
Start here     applying.Manifests.apply()
"""

from corral.server.services.manifests.applying import Applied, Document, Manifests
from corral.server.services.manifests.forms import DECLARED, Form, declared_kind, manifest_of

__all__ = ["DECLARED", "Applied", "Document", "Form", "Manifests", "declared_kind", "manifest_of"]
