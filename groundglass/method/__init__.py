"""The method of Hu et al., IEEE Access 2020: one module a section, arrays in and arrays out."""
