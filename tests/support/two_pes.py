"""A layout of two PEs that run pe.csl: the left one `sends` on color `link` to the right one, as in README.md."""


def layout(*exports: str) -> str:
    """exports: the layout's last lines, such as `@export_name("main", fn()void);`."""
    return f"""\
const memcpy = @import_module("<memcpy/get_params>", .{{ .width = 2, .height = 1 }});
const link = @get_color(0);

layout {{
  @set_rectangle(2, 1);
  for (@range(u16, 2)) |x| {{
    @set_tile_code(x, 0, "pe.csl", .{{ .memcpy_params = memcpy.get_params(x), .link = link, .sends = x == 0 }});
  }}
  @set_color_config(0, 0, link, .{{ .routes = .{{ .rx = .{{RAMP}}, .tx = .{{EAST}} }} }});
  @set_color_config(1, 0, link, .{{ .routes = .{{ .rx = .{{WEST}}, .tx = .{{RAMP}} }} }});
{"".join(f"  {line}{chr(10)}" for line in exports)}}}
"""


MAIN = '@export_name("main", fn()void);'
