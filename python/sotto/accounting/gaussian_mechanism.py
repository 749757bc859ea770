"""One Gaussian of sensitivity 1."""
from . import dp_event, mechanism_calibration, pld


def get_epsilon_gaussian(sigma, delta, tol=None):
    """Exact to 1e-10 of delta and rounded up; tol is not used."""
    return pld.PLDAccountant().compose(dp_event.GaussianDpEvent(sigma)).get_epsilon(delta)


def get_sigma_gaussian(epsilon, delta, tol=None):
    """The least sigma to about 1e-8 of itself, never too small; tol is not used."""
    guess = 1 / epsilon if epsilon > 0 else 1
    return mechanism_calibration.calibrate_dp_mechanism(
        pld.PLDAccountant, dp_event.GaussianDpEvent, epsilon, delta,
        mechanism_calibration.LowerEndpointAndGuess(0, guess), tol=1e-9 * guess)
