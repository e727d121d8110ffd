//! The stories of J1 to J7: the bug of each is planted, and found within a stated number of seeds.
