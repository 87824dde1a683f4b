"""What the engine can do of the optional hardware features. Analysis refuses (MS0399) what is not named here."""

SWITCHES = "switches"
FILTERS = "filters"
TEARDOWN = "teardown"
COLOR_SWAP = "color swap"
FIFOS = "FIFOs"
CONTROL_TRANSFORM = "control_transform"
ADVANCE_SWITCH = "advance_switch"
ZERO = "zero of a fabout_dsd"
DFILT = "@dfilt"
QUEUE_FLUSH = "queue flushing"
RECONFIGURATION = "changing routes at run time"

ENGINE: frozenset[str] = frozenset({SWITCHES, FILTERS, TEARDOWN, COLOR_SWAP, FIFOS, CONTROL_TRANSFORM, ADVANCE_SWITCH, ZERO, DFILT, QUEUE_FLUSH,
                                    RECONFIGURATION})
