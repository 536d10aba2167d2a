"""bncourse: the companion package of the batch normalization course.

>>> from bncourse import functional as F      # pure functions: forward -> (y, cache), backward
>>> from bncourse import nn                   # layers: parameters and running statistics
>>> from bncourse.moments import Moments      # count, mean and m2 of any array; merge two of them

Every function runs where its array lives: NumPy in, NumPy out; CuPy in, CuPy out.
"""

__version__ = "0.1.0"
