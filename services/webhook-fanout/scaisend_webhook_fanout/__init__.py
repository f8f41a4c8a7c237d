"""Posts events to the customers' endpoints as SendGrid's Event Webhook does; see `__main__` for the map."""
