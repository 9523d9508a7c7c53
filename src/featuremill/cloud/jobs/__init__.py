"""Jobs on EMR: submitted, followed, diagnosed, stopped; the machines that they run on."""
