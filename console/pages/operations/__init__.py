"""Operations: what operators did and do, and one operation with its items."""
