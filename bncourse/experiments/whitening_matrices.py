"""Matrices that whiten, from the covariance of what is to be whitened.

The chapter *Why not simply whiten?* derives them.
"""

import numpy as np


def pca_matrix(sigma, eps=0.0):
    r"""The whitening matrix whose outputs are the scaled principal components.

    .. math::

        W = (\Lambda + \varepsilon I)^{-1/2} U^\top, \qquad \Sigma = U \Lambda U^\top

    Parameters
    ----------
    sigma : numpy.ndarray, shape (D, D)
        Covariance :math:`\Sigma`, symmetric.
    eps : float
        Added to the eigenvalues, in squared units of the data; needed where one is 0.

    Returns
    -------
    numpy.ndarray, shape (D, D)
        Rows in descending order of the eigenvalues. The sign of a row is arbitrary: here its
        entry of largest size is positive.

    Raises
    ------
    ValueError
        If ``sigma`` is no square matrix, or some eigenvalue plus ``eps`` is not positive.

    Notes
    -----
    Kessy, Lewin and Strimmer (2018). Derived in the chapter :doc:`/book/why/whitening`.
    """
    values, vectors = _eigh(sigma, eps)
    rows = (vectors / np.sqrt(values)).T[::-1]
    largest = np.abs(rows).argmax(axis=1)
    return rows * np.sign(rows[np.arange(len(rows)), largest])[:, None]


def zca_matrix(sigma, eps=0.0):
    r"""The whitening matrix that changes the data least.

    .. math::

        W = (\Sigma + \varepsilon I)^{-1/2} = U (\Lambda + \varepsilon I)^{-1/2} U^\top

    Parameters, errors and source are those of :func:`pca_matrix`; what is returned is symmetric.
    """
    values, vectors = _eigh(sigma, eps)
    return (vectors / np.sqrt(values)) @ vectors.T


def newton_schulz(sigma, steps=5):
    r"""An approximation of :math:`\Sigma^{-1/2}` by matrix products alone.

    .. math::

        P_0 = I, \qquad
        P_{k+1} = \tfrac12 \bigl(3 P_k - P_k^3\, \Sigma / \operatorname{tr} \Sigma\bigr), \qquad
        W = P_T / \sqrt{\operatorname{tr} \Sigma}

    Rounding errors grow from step to step where :math:`\Sigma` is ill-conditioned:
    :func:`coupled_newton_schulz` does not let them.

    Parameters
    ----------
    sigma : numpy.ndarray, shape (D, D)
        Covariance, symmetric, not 0.
    steps : int
        T; 5 in IterNorm.

    Returns
    -------
    numpy.ndarray, shape (D, D)

    Raises
    ------
    ValueError
        If ``sigma`` is no square matrix, or its trace is not positive.

    Notes
    -----
    Huang et al. (2019), IterNorm. Derived in the chapter :doc:`/book/why/whitening`.
    """
    trace = _trace(sigma)
    p, s = np.eye(len(sigma), dtype=sigma.dtype), sigma / trace
    for _ in range(steps):
        p = (3 * p - p @ p @ p @ s) / 2
    return p / np.sqrt(trace)


def coupled_newton_schulz(sigma, steps=5):
    r"""The iterates of :func:`newton_schulz`, in a form that keeps rounding errors small.

    .. math::

        Y_0 = \Sigma / \operatorname{tr} \Sigma, \quad Z_0 = I, \qquad
        M = \tfrac12 (3 I - Z_k Y_k), \quad Y_{k+1} = Y_k M, \quad Z_{k+1} = M Z_k

    and :math:`W = Z_T / \sqrt{\operatorname{tr} \Sigma}`. ``sigma``, ``steps`` and errors are those
    of :func:`newton_schulz`.
    """
    trace = _trace(sigma)
    three = 3 * np.eye(len(sigma), dtype=sigma.dtype)
    y, z = sigma / trace, three / 3
    for _ in range(steps):
        m = (three - z @ y) / 2
        y, z = y @ m, m @ z
    return z / np.sqrt(trace)


def residual(w, sigma):
    r"""How far ``w`` is from whitening: :math:`\|W \Sigma W^\top - I\|_F / \sqrt D`, a float.

    0 if it whitens; 1 if nothing is left of the data.
    """
    return float(np.linalg.norm(w @ sigma @ w.T - np.eye(len(w))) / np.sqrt(len(w)))


def _eigh(sigma, eps):
    values, vectors = np.linalg.eigh(_square(sigma))
    if not values[0] + eps > 0:
        raise ValueError(
            f"sigma must have eigenvalues above -eps = {-eps:g}, not {values[0]:g}: use a larger "
            "eps, or more examples than features"
        )
    return values + eps, vectors


def _square(sigma):
    if np.ndim(sigma) != 2 or len(sigma) != np.shape(sigma)[1]:
        raise ValueError(f"sigma must be a square matrix, not of shape {np.shape(sigma)}")
    return sigma


def _trace(sigma):
    trace = np.trace(_square(sigma))
    if not trace > 0:
        raise ValueError(f"sigma must have a positive trace, not {trace:g}")
    return trace
