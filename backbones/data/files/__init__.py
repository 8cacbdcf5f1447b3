"""What files hold, and finding them: images, listings, label values, split names."""
