"""Services: what users can ask for, one module a noun; the same for REST, gRPC and simulation.

In this room   Services, one attribute a noun
Next door      requests.py has the bodies; base.py turns a decision into a commit
Start here     vms.py
"""

from corral.server.services.adopting import Adoptions
from corral.server.services.base import Desk
from corral.server.services.clones import Clones
from corral.server.services.drifting import Drifting
from corral.server.services.groups import Groups
from corral.server.services.images import Images
from corral.server.services.manifests import Manifests
from corral.server.services.networks import Networks
from corral.server.services.operations import Operations
from corral.server.services.policies import Policies
from corral.server.services.profiles import Profiles
from corral.server.services.rebalancing import RebalanceService
from corral.server.services.snapshots import Snapshots
from corral.server.services.things import Nodes, Pools
from corral.server.services.tokens import Tokens
from corral.server.services.vms import VMs
from corral.server.services.volumes import Volumes


class Services:
    """All requests, by noun."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.vms = VMs(desk)
        self.clones = Clones(desk, self.vms.addresses)
        self.changes = self.vms.changes
        self.adoptions = Adoptions(desk)
        self.drifting = Drifting(desk)
        self.volumes = Volumes(desk)
        self.snapshots = Snapshots(desk)
        self.images = Images(desk)
        self.pools = Pools(desk)
        self.networks = Networks(desk)
        self.profiles = Profiles(desk)
        self.policies = Policies(desk)
        self.groups = Groups(desk)
        self.rebalancing = RebalanceService(desk)
        self.nodes = Nodes(desk)
        self.operations = Operations(desk)
        self.tokens = Tokens(desk)
        self.manifests = Manifests(self, desk.mirror)
