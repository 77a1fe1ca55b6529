"""The calls of the client by area; `client.api` puts them together."""
