def write_card(out,f): pass
