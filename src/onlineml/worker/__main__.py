"""The process of a job: ``python -m onlineml.worker``."""

import sys

from onlineml.worker.process import main

sys.exit(main())
