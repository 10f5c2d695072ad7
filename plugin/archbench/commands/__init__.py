"""Commands of ``archbench`` about stored runs and published tables, a module each."""
