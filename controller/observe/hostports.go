package observe

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// listener is a TCP socket that waits for connections.
type listener struct {
	address netip.AddrPort
	inode   string
}

// listeners are those of the network namespace that a process, or a thread, is in.
func listeners(pid string) ([]listener, error) {
	var found []listener
	for _, table := range []string{"tcp", "tcp6"} {
		file, err := os.Open(filepath.Join(proc, pid, "net", table))
		if err != nil {
			if table == "tcp6" {
				continue // a kernel without IPv6
			}
			return nil, fmt.Errorf("read sockets: %w", err)
		}
		found = append(found, readSockets(file)...)
		_ = file.Close()
	}
	return found, nil
}

// stateListen is TCP_LISTEN of the kernel.
const stateListen = "0A"

// readSockets reads the kernel's table: the address in the second field, the state in the fourth, the inode in the tenth.
func readSockets(table io.Reader) []listener {
	var found []listener
	for rows := bufio.NewScanner(table); rows.Scan(); {
		fields := strings.Fields(rows.Text())
		if len(fields) < 10 || fields[3] != stateListen {
			continue
		}
		if address, ok := readAddress(fields[1]); ok {
			found = append(found, listener{address, fields[9]})
		}
	}
	return found
}

// readAddress reads an address such as 0100007F:1F90: words of four bytes in the order of the machine, which is little
// endian on all that run containers in earnest, then the port.
func readAddress(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	number, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word)
	}
	ip, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip.Unmap(), uint16(number)), ok
}

// hostHolder finds the process of this host that listens on a port. One that belongs to somebody else can be hidden:
// then there is a holder without a number. It costs a look at every open file, tens of milliseconds.
func hostHolder(ip string, port uint16) Holder {
	sockets, err := listeners(here)
	if err != nil {
		return Holder{}
	}
	for _, s := range sockets {
		if s.address.Port() == port && overlap(ip, s.address.Addr().String()) {
			return process(s.inode)
		}
	}
	return Holder{}
}

// process finds who has a socket open. Its name is that of the program, without arguments, which can hold secrets.
func process(inode string) Holder {
	want := "socket:[" + inode + "]"
	files, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "fd", "*")) // the pattern is right; what cannot be read is left out
	for _, file := range files {
		if target, err := os.Readlink(file); err != nil || target != want {
			continue
		}
		dir := filepath.Dir(filepath.Dir(file))
		pid, _ := strconv.Atoi(filepath.Base(dir))
		name, _ := os.ReadFile(filepath.Join(dir, "comm"))
		return Holder{PID: pid, Command: line(string(name), nil)}
	}
	return Holder{Command: "a process that cannot be seen from here"}
}
