//go:build !linux

package main

import (
	"errors"
	"os/exec"
	"time"
)

// errLinux: the kernel's accounts of a process and the choice of its cores are read as Linux has them.
var errLinux = errors.New("the load test needs Linux: it reads the CPU time of the servers from the kernel, and pins them to a core")

func cpuTime(int) (time.Duration, error)      { return 0, errLinux }
func memory(int) (now, most int64, err error) { return 0, 0, errLinux }
func cores() ([]int, error)                   { return nil, errLinux }
func startPinned(*exec.Cmd, []int) error      { return errLinux }
func pinSelf([]int) error                     { return errLinux }
