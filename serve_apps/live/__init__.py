"""Live data to sockets: alerts at least once, samples and scores as long as the client keeps up."""
