package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is the CPU time, user and system, that process pid has used so far. It is the kernel's own account to the
// nanosecond (clock_getcpuclockid(3)); /proc/PID/stat has the same in ticks of ten milliseconds.
func cpuTime(pid int) (time.Duration, error) {
	const whole = 2 // CPUCLOCK_SCHED, of the whole process
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|whole), &t); err != nil {
		return 0, fmt.Errorf("reading the CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// memory is the resident memory of process pid in bytes, now and at most so far.
func memory(pid int) (now, most int64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("reading the memory of a process: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		if name != "VmRSS" && name != "VmHWM" {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("reading the memory of process %d: %w", pid, err)
		}
		if name == "VmRSS" {
			now = kib << 10
		} else {
			most = kib << 10
		}
	}
	return now, most, nil
}

// cores lists the cores that this process may run on.
func cores() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("asking which cores there are: %w", err)
	}
	var list []int
	for cpu := 0; len(list) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			list = append(list, cpu)
		}
	}
	return list, nil
}

// startPinned starts cmd on the cores of cpus only; its Go runtime then sees no others.
func startPinned(cmd *exec.Cmd, cpus []int) error {
	started := make(chan error)
	go func() {
		// The child inherits the mask of the thread that forks. That thread ends with this goroutine, which stays locked to it.
		runtime.LockOSThread()
		err := unix.SchedSetaffinity(0, cpuSet(cpus))
		if err == nil {
			err = cmd.Start()
		}
		started <- err
	}()
	return <-started
}

// pinSelf keeps all threads of this process on the cores of cpus.
func pinSelf(cpus []int) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("pinning the client: %w", err)
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err == nil {
			err = unix.SchedSetaffinity(id, cpuSet(cpus))
		}
		if err != nil && !errors.Is(err, unix.ESRCH) { // a thread may have ended
			return fmt.Errorf("pinning the client: %w", err)
		}
	}
	runtime.GOMAXPROCS(len(cpus))
	return nil
}

func cpuSet(cpus []int) *unix.CPUSet {
	set := new(unix.CPUSet)
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	return set
}
