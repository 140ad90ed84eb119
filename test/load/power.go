package main

import "math/bits"

// power is x^e mod p, with x below p.
func power(x, e, p uint64) uint64 {
	result := uint64(1)
	for ; e > 0; e >>= 1 {
		if e&1 == 1 {
			result = times(result, x, p)
		}
		x = times(x, x, p)
	}
	return result
}

// times is x*y mod p, with x and y below p.
func times(x, y, p uint64) uint64 {
	high, low := bits.Mul64(x, y)
	_, rest := bits.Div64(high, low, p)
	return rest
}
