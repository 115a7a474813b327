"""What people see: text on the terminal and figures. Takes numbers, computes none on LRs."""
