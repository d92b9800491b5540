#!/usr/bin/env python
"""Django's command line for this checkout; `openintern` on the PATH is the same."""

from openintern.__main__ import main

if __name__ == "__main__":
    main()
