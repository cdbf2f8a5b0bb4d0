-- carry_out --
-- $1 operation  $2 after which position  $3 at most  $4 whether a row that another transaction holds is given up. Makes the
-- transitions of the next items, and writes down what became of each.
SELECT is_open, taken, ended, last_position FROM sluice_carry_out($1, $2, $3, $4);
