"""Logging of the appliance client. Nothing here logs; scripts set its level."""

import logging

logger = logging.getLogger("cerebras.appliance")
