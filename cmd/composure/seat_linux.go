package main

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// A seat is told by a socket of the abstract namespace: it has a name and no file, everybody in the network namespace of the
// host finds it in /proc/net/unix, and the kernel takes it away with the process (unix(7)).

// socketPrefix begins the names of the sockets. What a process says is what the version of this name says.
const socketPrefix = "@composure.seats.v1/"

// A process that does not answer is waited for so long, and may say so much.
const (
	askedFor  = time.Second
	askedSize = 4 << 20
)

// tellOthers answers every process that asks with the list, until this one ends.
func tellOthers(list func() []occupant) error {
	listener, err := net.Listen("unix", socketPrefix+rand.Text())
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(askedFor))
			_ = json.NewEncoder(conn).Encode(list())
			conn.Close()
		}
	}()
	return nil
}

// askOthers asks every process that tells. One that does not answer, or nothing that can be read, says nothing.
func askOthers() (found []occupant) {
	file, err := os.Open("/proc/net/unix")
	if err != nil {
		return nil
	}
	defer file.Close()
	asked := map[string]bool{} // a connection has the name of its listener
	for lines := bufio.NewScanner(file); lines.Scan(); {
		i := strings.Index(lines.Text(), socketPrefix)
		if i < 0 {
			continue
		}
		if name := lines.Text()[i:]; !asked[name] {
			asked[name] = true
			found = append(found, askOne(name)...)
		}
	}
	return found
}

func askOne(name string) (found []occupant) {
	conn, err := net.DialTimeout("unix", name, askedFor)
	if err != nil {
		return nil
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(askedFor))
	uid, err := peer(conn)
	if err != nil || json.NewDecoder(io.LimitReader(conn, askedSize)).Decode(&found) != nil {
		return nil
	}
	for i := range found {
		found[i].uid = uid
	}
	return found
}

// peer is the user of the process that listens.
func peer(conn net.Conn) (uid int, err error) {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var who *syscall.Ucred
	if e := raw.Control(func(fd uintptr) { who, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED) }); e != nil {
		return 0, e
	}
	if err != nil {
		return 0, err
	}
	return int(who.Uid), nil
}
