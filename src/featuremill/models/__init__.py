"""The networks that turn pixels into features, and the engines that run them."""
