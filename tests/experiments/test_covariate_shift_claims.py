import pytest

from bncourse.experiments import covariate_shift_claims as claims

CHECKS = (
    claims.frozen_weights_do_not_shift,
    claims.test_images_are_no_shift,
    claims.learned_scale_and_shift_add_to_it,
    claims.only_x_hat_is_fixed,
    claims.changing_batches_flatter_batch_norm,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_verdict_holds(check):
    assert check() is True


def test_a_check_fails_where_its_measure_is_wrong(monkeypatch):
    """Image by image, the noise does not average out: then batches of any size look alike."""
    one_by_one = lambda a, b: abs(a - b).mean(axis=0)  # noqa: E731 - one measure, once
    monkeypatch.setattr(claims, "shift", one_by_one)
    assert not claims.frozen_weights_do_not_shift()
