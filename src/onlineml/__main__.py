"""The command line: ``python -m onlineml``, the same as ``onlineml``."""

import sys

from onlineml.cli.main import main

sys.exit(main())
