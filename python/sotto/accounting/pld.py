"""Privacy loss distributions."""
from . import privacy_accountant


class PLDAccountant(privacy_accountant.PrivacyAccountant):
    """Certified from both sides, for events that were fixed in advance. The grid is chosen for the plan and refined until
    the bracket of epsilon is relative_gap wide, so value_discretization_interval, which dp-accounting has, is not used."""

    _name = "pld"

    def __init__(self, neighboring_relation=privacy_accountant.NeighboringRelation.ADD_OR_REMOVE_ONE,
                 value_discretization_interval=None, relative_gap=1e-3):
        super().__init__(neighboring_relation, relative_gap)
