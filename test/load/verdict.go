package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/protobuf/encoding/protowire"
)

// allowed is the verdict that lets a request pass; every other one is the HTTP status of a refusal.
const allowed = 0

// verdict reads the answer to a Check, a gRPC message with its prefix, as Envoy does.
func verdict(reply []byte) (int, error) {
	const prefix = 5
	if len(reply) < prefix || reply[0] != 0 || int(binary.BigEndian.Uint32(reply[1:])) != len(reply)-prefix {
		return 0, fmt.Errorf("the answer is not one gRPC message: %x", reply)
	}
	var code, denied uint64
	var ok, refused bool
	err := fields(reply[prefix:], func(number protowire.Number, value []byte, _ uint64) error {
		switch number {
		case 1: // status
			return fields(value, func(n protowire.Number, _ []byte, v uint64) error {
				if n == 1 {
					code = v
				}
				return nil
			})
		case 2: // denied_response
			refused = true
			return fields(value, func(n protowire.Number, status []byte, _ uint64) error {
				if n != 1 {
					return nil
				}
				return fields(status, func(n protowire.Number, _ []byte, v uint64) error {
					if n == 1 {
						denied = v
					}
					return nil
				})
			})
		case 3: // ok_response
			ok = true
		case 5: // error_response: Envoy's failure_mode_allow would let the request pass
			return errors.New("the answer is an error_response, not a decision")
		}
		return nil
	})
	switch {
	case err != nil:
		return 0, err
	case code == 0 && !refused:
		return allowed, nil
	case code == 0 || ok:
		return 0, fmt.Errorf("the answer contradicts itself: %x", reply)
	case denied == 0:
		return http.StatusForbidden, nil // what Envoy makes of it
	}
	return int(denied), nil
}

// fields calls visit for each field of a message, with the bytes of one that is length-delimited or the number of a varint.
func fields(message []byte, visit func(protowire.Number, []byte, uint64) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		var value []byte
		var varint uint64
		switch kind {
		case protowire.VarintType:
			varint, n = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := visit(number, value, varint); err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}
