"""contact-router: one queue model for voice, SMS, email and chat."""

__version__ = "0.1.0"
