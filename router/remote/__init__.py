"""Commands that talk to a running server: `contact-router preference` and `import`.

They use the HTTP API with a token, like anybody else's program.
"""
