"""`python -m client` is `reelyard`."""

from client.main import main

main()
