"""A Kalman filter of one number and its speed, number by number."""


def follow(places, *, place_noise, speed_noise, seen_noise, place_doubt, speed_doubt):
    """Return the estimated (place, speed) after each sighting; None is a frame without one."""
    place, speed = places[0], 0.0
    a, b, c = place_doubt, 0.0, speed_doubt  # the covariance is [[a, b], [b, c]]
    estimates = [(place, speed)]
    for seen in places[1:]:
        place = place + speed
        a, b, c = a + 2 * b + c + place_noise, b + c, c + speed_noise
        if seen is not None:
            total = a + seen_noise
            gain_place, gain_speed = a / total, b / total
            off = seen - place
            place, speed = place + gain_place * off, speed + gain_speed * off
            a, b, c = (1 - gain_place) * a, (1 - gain_place) * b, c - gain_speed * b
        estimates.append((place, speed))
    return estimates
