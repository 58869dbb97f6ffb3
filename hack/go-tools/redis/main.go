// A Redis for Argo CD's processes: the one that its own command line starts where it runs without a server.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/alicebob/miniredis/v2"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: redis HOST:PORT")
		os.Exit(2)
	}
	redis := miniredis.NewMiniRedis()
	if err := redis.StartAddr(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// Its time stands still unless told, and entries of a cache must end.
	for range time.Tick(time.Second) {
		redis.FastForward(time.Second)
	}
}
