package observe

import (
	"errors"
	"fmt"
)

// What an engine can answer and a stage decides on. The adapter marks its errors with these, whatever words and status
// code the engine's version used; nobody else reads an engine's error text.
var (
	// ErrNotFound: there is no such object.
	ErrNotFound = errors.New("not found")
	// ErrNetworkMissing: a network that a container needs does not exist. It is an ErrNotFound too.
	ErrNetworkMissing = fmt.Errorf("network %w", ErrNotFound)
	// ErrImageMissing: an image is neither here nor, after a pull, in the registry. It is an ErrNotFound too.
	ErrImageMissing = fmt.Errorf("image %w", ErrNotFound)
	// ErrDenied: a registry refused the credentials, or wants some.
	ErrDenied = errors.New("registry access denied")
	// ErrUnreachable: the engine does not answer at its address, or broke the connection.
	ErrUnreachable = errors.New("engine unreachable")
	// ErrNoAnswer: the request may have reached the engine and no answer came. Whether an operation happened, or
	// will happen yet, is unknown: a stopped engine process executes what timed out when it continues. Observe again.
	ErrNoAnswer = errors.New("no answer from the engine, the outcome is unknown")
	// ErrNameTaken: the container name is in use; see NameTaken for the holder.
	ErrNameTaken = errors.New("container name taken")
	// ErrPortAllocated: a published port is held by another container.
	ErrPortAllocated = errors.New("port held by another container")
	// ErrPortInUse: a published port is held by a process of the host.
	ErrPortInUse = errors.New("port held by a process of the host")
	// ErrAddressTaken: a static IP address is in use on its network.
	ErrAddressTaken = errors.New("address taken on the network")
	// ErrBadCommand: the container's command cannot be executed.
	ErrBadCommand = errors.New("command cannot be executed")
	// ErrNetworkTwice: there are several networks of the name. The engine makes two when it is asked for both at one time.
	ErrNetworkTwice = errors.New("several networks of this name")
	// ErrConflict: the object's state forbids the operation.
	ErrConflict = errors.New("conflict with the object's state")
)

// NameTaken is the error of a name conflict. It is an ErrNameTaken.
type NameTaken struct {
	Name   string // without the leading slash
	Holder string // id of the container that has the name
	Err    error  // the engine's own words
}

// Error is what the engine said.
func (e *NameTaken) Error() string { return e.Err.Error() }

// Unwrap makes the error an ErrNameTaken.
func (e *NameTaken) Unwrap() []error { return []error{ErrNameTaken, e.Err} }

// IsNotFound says whether the engine answered that there is no such object.
func IsNotFound(err error) bool { return errors.Is(err, ErrNotFound) }
