"""One module or package for each verb: run, transform, estimate, sample, check, forget, doctor."""
