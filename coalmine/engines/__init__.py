"""Where runs execute, behind one interface: submit, status, cancel, logs."""
