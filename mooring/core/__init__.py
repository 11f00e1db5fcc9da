"""Tools that know no capability."""
