"""Analysis: from syntax trees to a Program (types, comptime evaluation, layout, lowering)."""
