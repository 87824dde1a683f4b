"""router, color, route, wavelets, heat: the network, and the fabric as a whole."""
