"""Small helpers that know nothing of images, features or clouds."""
