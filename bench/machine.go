package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The server has the first core, the load generator the second, if there are two.
const (
	serverCore = 0
	loadCore   = 1
)

// pinned marks a process that has been through pin.
const pinned = "BENCH_PINNED"

// cores are those of servers, and all that are used.
func cores() (server, all []int) {
	if os.Getenv(pinned) == "" {
		return []int{serverCore}, []int{serverCore}
	}
	return []int{serverCore}, []int{serverCore, loadCore}
}

// pin starts this program over on its core: every thread of it inherits that then.
func pin() error {
	if os.Getenv(pinned) != "" {
		return nil
	}
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return fmt.Errorf("sched_getaffinity: %w", err)
	}
	if !set.IsSet(serverCore) || !set.IsSet(loadCore) {
		fmt.Fprintln(os.Stderr, "bench: there are no two cores: servers and load generator share one, figures mean little")
		return nil
	}
	set.Zero()
	set.Set(loadCore)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("sched_setaffinity: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return unix.Exec(self, os.Args, append(os.Environ(), pinned+"=1"))
}

// enoughFiles is for 15,500 clients.
const enoughFiles = 17_000

// machine says when and on what, and with which versions.
func machine() string {
	said := []string{
		time.Now().Format("2 January 2006"),
		cpuModel(),
		"Linux " + kernel(),
		runtime.Version(),
	}
	if node, err := exec.Command("node", "--version").Output(); err == nil {
		said = append(said, "Node "+string(bytes.TrimSpace(node)))
	}
	return strings.Join(append(said, modules()...), ", ")
}

func cpuModel() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	_, rest, _ := strings.Cut(string(info), "model name\t: ")
	model, _, _ := strings.Cut(rest, "\n")
	return fmt.Sprintf("%s, %d cores", model, strings.Count(string(info), "model name"))
}

func kernel() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return "?"
	}
	return unix.ByteSliceToString(name.Release[:])
}

// modules are the versions of the libraries measured.
func modules() []string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	var versions []string
	for _, m := range info.Deps {
		for _, name := range []string{"coder/websocket", "gorilla/websocket", "lxzan/gws", "olahol/melody", "centrifugal/centrifuge"} {
			if m.Path == "github.com/"+name {
				versions = append(versions, name+" "+m.Version)
			}
		}
	}
	return versions
}
