package extauthz

import "crypto/rand"

// lotAlphabet is that of base32 (RFC 4648 §6), five bits a letter.
const lotAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// lotLetters make 130 bits, which nobody guesses.
const lotLetters = 26

// lots draws decision ids from the system's random numbers, which are asked for many at once.
type lots struct {
	drawn [16 * lotLetters]byte
	left  int
}

// decisionID makes an id that nobody can guess.
func (l *lots) decisionID() string {
	if l.left == 0 {
		_, _ = rand.Read(l.drawn[:]) // never fails: it ends the process instead
		l.left = len(l.drawn)
	}
	l.left -= lotLetters
	id := l.drawn[l.left : l.left+lotLetters]
	for i, b := range id {
		id[i] = lotAlphabet[b&31]
	}
	return string(id)
}
