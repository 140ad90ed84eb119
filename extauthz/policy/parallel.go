package policy

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// inParallel calls do for each number below n, on every processor where there are many. What it calls may write only what
// belongs to that number, so that it makes no difference in which order that is. Where one of them panics, inParallel does:
// whoever compiles recovers, and the process does not end for one policy.
func inParallel(n int, do func(i int)) {
	// As many are taken at a time: they take a good deal longer than another goroutine does to begin.
	const share = 64
	if n <= share {
		for i := range n {
			do(i)
		}
		return
	}
	var next atomic.Int64
	var group sync.WaitGroup
	var once sync.Once
	var fault error
	for range min(runtime.GOMAXPROCS(0), (n+share-1)/share) {
		group.Go(func() {
			defer func() {
				if f := recover(); f != nil {
					once.Do(func() { fault = fmt.Errorf("%v\n%s", f, debug.Stack()) })
				}
			}()
			for from := int(next.Add(share)) - share; from < n; from = int(next.Add(share)) - share {
				for i := from; i < min(from+share, n); i++ {
					do(i)
				}
			}
		})
	}
	group.Wait()
	if fault != nil {
		panic(fault)
	}
}
