"""`python -m cxrgan`."""

import sys

from cxrgan.cli import main

sys.exit(main())
