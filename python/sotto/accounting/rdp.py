"""Rényi differential privacy."""
from . import privacy_accountant


class RdpAccountant(privacy_accountant.PrivacyAccountant):
    """An upper bound that also holds where later events depend on earlier results."""

    _name = "rdp"

    def __init__(self, orders=None, neighboring_relation=privacy_accountant.NeighboringRelation.ADD_OR_REMOVE_ONE):
        if orders is not None:
            raise ValueError("sotto's grid of orders is fixed, from 1.01 to 65536; leave `orders` away")
        super().__init__(neighboring_relation)
