"""SdkLayout: programs whose layout is a Python script (reference: the vendor's SdkLayout API page).

The classes only record what the script says; `SdkLayout.compile` checks it, finds routes, gives colors their values and
compiles:

    geometry, directions, color, region, platform   what scripts handle
    sdklayout                                       the layout as a whole
    plan                                            placement and painting as arrays over the fabric
    paths                                           routes between ports
    allocate                                        values of colors
    code                                            what the text of a code file says
    assemble                                        the Program
    artifacts                                       the folder that SdkRuntime loads
    source                                          where in the script something was said, and how mistakes are
    reported
"""
