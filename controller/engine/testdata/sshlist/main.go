// Command sshlist prints the types of the keys that the agent at SSH_AUTH_SOCK holds. The build tests run it inside
// a build.
package main

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/crypto/ssh/agent"
)

func main() {
	conn, err := net.Dial("unix", os.Getenv("SSH_AUTH_SOCK"))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	keys, err := agent.NewClient(conn).List()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, key := range keys {
		fmt.Println(key.Type())
	}
}
