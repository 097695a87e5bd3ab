"""The kernel's sum, with numpy."""

from fleetpulse.effects import F64


def tree_sum(x: F64) -> F64:
    """Sum over axis 1 in one fixed order: halves are added elementwise. Overwrites x.

    np.sum chooses its order by shape and strides, so its bits change with the batch size.
    """
    n = x.shape[1]
    while n > 1:
        half = (n + 1) // 2
        x[:, : n - half] += x[:, half:n]
        n = half
    return x[:, 0].copy()
