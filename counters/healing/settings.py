"""Settings of healing."""

import msgspec


class HealingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When healing is safe.

    Attributes:
        heal_after_s: Seconds without a touch after which nothing that was reserved can become an entry any more. So
            long after a cut this is so of what was reserved before it. It is more than the longest deadline of an
            operation, the longest ways of two requests and the errors of three clocks together.
        tightens_s: The same for what hybrid let in, before a counter that was hybrid becomes strict.
        settled_s: Seconds after which the stream's records have been settled, unless some were lost.
        recounted_s: Seconds after which a counter that was changed since its last healing is recounted, although its
            two counts are equal: both may be wrong by the same amount. So often a counter in use may have a census.
    """

    heal_after_s: float = 15.0
    tightens_s: float = 30.0
    settled_s: float = 900.0
    recounted_s: float = 86_400.0
