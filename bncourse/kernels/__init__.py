"""The functions of :mod:`bncourse.functional` made fast: same mathematics, other memory traffic.

A kernel says with ``supports`` what it takes; whatever it does not take goes the general way, and
each is tested against that.
"""
