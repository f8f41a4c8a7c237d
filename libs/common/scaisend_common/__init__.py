"""What every ScaiSend service shares: the mail decisions (`mail`), the plumbing, the wire messages, the topology, the schema."""

__version__ = "0.1.0"
